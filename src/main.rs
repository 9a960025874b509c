//! The binary: every kind of consumer that the library brings, and an allocator that gives back what jobs have let go.

use std::hint::black_box;
use std::process::ExitCode;

use redis_consumer::Registry;
use tikv_jemalloc_ctl::background_thread;
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// More than `oversize_threshold` in `.cargo/config.toml`.
const LARGE: usize = 64 << 20;

fn main() -> ExitCode {
    if !redis_consumer::is_helper() {
        give_memory_back();
    }
    redis_consumer::run(Registry::builtin())
}

/// From now on large planes go back to the system at once, all else within ten seconds.
fn give_memory_back() {
    // Large objects have an arena of their own, which keeps nothing if it was made without a background thread.
    drop(black_box(Vec::<u8>::with_capacity(LARGE)));
    // Without it memory goes back when the next job comes.
    let _ = background_thread::write(true);
}
