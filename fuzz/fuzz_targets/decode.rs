//! The decoder never panics, stays within its layers, and changes nothing when it decodes its own result again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_features::{MAX_DECODE_LAYERS, decode, decode_form};

fuzz_target!(|input: &[u8]| {
    let once = decode(input);
    assert!(usize::from(once.layers) <= usize::from(MAX_DECODE_LAYERS));
    if !once.limited {
        let twice = decode(&once.bytes);
        assert_eq!(twice.bytes, once.bytes, "the result was no fixed point");
        assert_eq!(twice.layers, 0);
    }
    let form = decode_form(input);
    assert!(usize::from(form.layers) <= usize::from(MAX_DECODE_LAYERS));
});
