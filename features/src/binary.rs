//! Text or not text. Not here: media types, which senders choose freely.

/// How much of a body is looked at.
const SAMPLE: usize = 1024;

/// True when more than a twentieth of the beginning is neither printable ASCII, white space nor UTF-8.
pub(crate) fn is_binary(bytes: &[u8]) -> bool {
    let sample = bytes.get(..SAMPLE).unwrap_or(bytes);
    let mut odd = 0;
    for chunk in sample.utf8_chunks() {
        odd += chunk.invalid().len();
        odd += chunk
            .valid()
            .bytes()
            .filter(|byte| byte.is_ascii_control() && !is_blank(*byte))
            .count();
    }
    odd * 20 > sample.len()
}

/// True when at least 19 of 20 bytes are printable ASCII or white space: what hides in base64 must read as text.
pub(crate) fn is_mostly_printable(bytes: &[u8]) -> bool {
    let odd = bytes
        .iter()
        .filter(|byte| !(byte.is_ascii_graphic() || **byte == b' ' || is_blank(**byte)))
        .count();
    !bytes.is_empty() && odd * 20 <= bytes.len()
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | b'\r')
}
