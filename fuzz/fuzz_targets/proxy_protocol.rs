//! Whatever a peer sends first: reading it ends within its bytes, and the verdict does not depend on how it was cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_waf::listen::proxy_protocol::parse;

fuzz_target!(|input: &[u8]| {
    let whole = parse(input);
    if let Ok(Some((header, length))) = &whole {
        assert!(*length <= input.len());
        let exact = parse(input.get(..*length).unwrap_or_default());
        assert!(matches!(exact, Ok(Some((same, _))) if same == *header));
    }
    for cut in 0..input.len().min(300) {
        match parse(input.get(..cut).unwrap_or_default()) {
            Ok(None) => {}
            // Once decided, more bytes change nothing.
            Ok(Some(found)) => {
                assert!(matches!(&whole, Ok(Some(same)) if *same == found));
                break;
            }
            Err(_) => {
                assert!(whole.is_err());
                break;
            }
        }
    }
});
