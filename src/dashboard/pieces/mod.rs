//! The parts of pages that change while somebody looks, each with an `id`: pages contain them, and `live` sends them anew. They
//! are the same for everybody, so that no form can be in them: nothing that forms need is known here.

pub(super) mod batch;
pub(super) mod batches;
pub(super) mod job;
pub(super) mod overview;
pub(super) mod piece;
pub(super) mod queue;
pub(super) mod queues;
pub(super) mod stages;
pub(super) mod timeline;
pub(super) mod workers;
