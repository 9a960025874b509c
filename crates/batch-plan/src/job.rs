//! Items to jobs.

mod compile;
mod error;
mod expect;
mod hash;
mod key;
mod outputs;
mod quantity;
mod renderer;

pub use error::RenderError;
pub use expect::{Expected, Listing};
pub use hash::Job;
pub use key::job_key;
pub use renderer::Renderer;
