//! Decoding is a fixed point, and no stack of encoders hides an attack: wherever it stands, some field holds it.
//!
//! The input is read twice: as bytes to decode, and as choices out of which a request is made. `make test` runs a
//! bounded version of the same.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use weir_features::{Scratch, decode};

#[path = "../../features/tests/it/stack.rs"]
mod stack;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

fuzz_target!(|input: &[u8]| {
    let once = decode(input);
    if !once.limited {
        let twice = decode(&once.bytes);
        assert_eq!(twice.bytes, once.bytes, "the result was no fixed point");
        assert_eq!(twice.layers, 0);
    }
    let case = stack::build(&mut stack::Choices(input));
    let missed = SCRATCH.with_borrow_mut(|scratch| stack::missed(&case, scratch));
    if let Some(what) = missed {
        panic!("{what}");
    }
});
