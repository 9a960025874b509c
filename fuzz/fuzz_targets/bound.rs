//! Memory that a target may take: an allocator gives no more, so that an input that takes more ends the program.

use std::alloc::System;

use cap::Cap;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// What all work may take beside its input and what was announced.
const FREE: usize = 32 << 20;

/// Does the work with no more than what was announced, its input twice, and a little.
pub fn within<T>(announced: u64, input: &[u8], work: impl FnOnce() -> T) -> T {
    // What is over the limit is refused before it is taken.
    let announced = usize::try_from(announced).unwrap_or(usize::MAX).min(1 << 40);
    let _ = ALLOCATOR.set_limit(ALLOCATOR.allocated() + announced + 2 * input.len() + FREE);
    let result = work();
    let _ = ALLOCATOR.set_limit(usize::MAX);
    result
}
