//! The binary: every kind of consumer that the library brings.

use std::process::ExitCode;

use redis_consumer::Registry;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    redis_consumer::run(Registry::builtin())
}
