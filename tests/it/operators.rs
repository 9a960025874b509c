//! Commands for operators, each as the real program against a real Redis: a table of contents.

/// Jobs of files and objects, and how they are followed.
mod submit;

/// How long uploads take.
mod submit_speed;
