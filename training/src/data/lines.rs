//! Lines of plain and compressed files, without holding more than one in memory.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use weir_scoring::record::MAX_LINE;

use super::DataError;

/// Reader and decompressor buffers; large enough that system calls do not show.
const BUFFER: usize = 256 * 1024;

/// Opens `path` for reading; `.gz` (of any number of members) and `.zst` are decompressed, `-` is standard input.
///
/// # Errors
/// When the file cannot be opened or the decompressor cannot start.
pub fn open(path: &Path) -> Result<Box<dyn BufRead>, DataError> {
    let failed = |source| DataError::Io {
        path: path.to_owned(),
        source,
    };
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::with_capacity(BUFFER, std::io::stdin())));
    }
    let file = File::open(path).map_err(failed)?;
    Ok(
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("gz") => Box::new(BufReader::with_capacity(
                BUFFER,
                flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(BUFFER, file)),
            )),
            Some("zst") => Box::new(BufReader::with_capacity(
                BUFFER,
                zstd::stream::read::Decoder::new(file).map_err(failed)?,
            )),
            _ => Box::new(BufReader::with_capacity(BUFFER, file)),
        },
    )
}

/// Reads a whole file, decompressed.
///
/// # Errors
/// When it cannot be opened or read.
pub fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    let mut content = Vec::new();
    open(path)?
        .read_to_end(&mut content)
        .map_err(|source| DataError::Io {
            path: path.to_owned(),
            source,
        })?;
    Ok(content)
}

/// Calls `f` with each line that is not blank, its number (from 1) and no line end, until `f` returns false. Of a line longer than
/// [`MAX_LINE`] one byte more than that is given, so that the parser refuses it.
///
/// # Errors
/// When the file cannot be opened or read.
pub fn each(path: &Path, mut f: impl FnMut(u64, &[u8]) -> bool) -> Result<(), DataError> {
    let failed = |source| DataError::Io {
        path: path.to_owned(),
        source,
    };
    let mut reader = open(path)?;
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        let read = (&mut reader)
            .take(MAX_LINE as u64 + 1)
            .read_until(b'\n', &mut line)
            .map_err(failed)?;
        if read == 0 {
            return Ok(());
        }
        number += 1;
        if read > MAX_LINE {
            reader.skip_until(b'\n').map_err(failed)?;
        }
        let content = line.strip_suffix(b"\n").unwrap_or(&line);
        let content = content.strip_suffix(b"\r").unwrap_or(content);
        if !content.iter().all(u8::is_ascii_whitespace) && !f(number, content) {
            return Ok(());
        }
    }
}

/// The file's name without its folder and its `.jsonl.gz`-like endings.
#[must_use]
pub fn stem(path: &Path) -> String {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    name.split('.')
        .find(|part| !part.is_empty())
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn numbers_count_blank_lines_and_crlf_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.txt");
        std::fs::write(&path, "a\r\n\n  \nb").unwrap();
        let mut seen = Vec::new();
        each(&path, |number, line| {
            seen.push((number, line.to_vec()));
            true
        })
        .unwrap();
        assert_eq!(seen, [(1, b"a".to_vec()), (4, b"b".to_vec())]);
    }

    #[test]
    fn stems_lose_every_ending() {
        assert_eq!(stem(Path::new("/x/legit_dev.jsonl.gz")), "legit_dev");
        assert_eq!(stem(Path::new(".hidden.jsonl")), "hidden");
    }
}
