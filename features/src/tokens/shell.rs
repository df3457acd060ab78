//! Commands behind what separates commands. Not here: names of programs as such, which prose has (`cat`, `id`).

use super::lex::{is_word, run};
use super::words::{ALONE, COMMAND, COMMAND_WORD, bits};
use super::{Found, Present, Sign, Text};
use crate::bytes::Bytes;

const SEPARATORS: &[u8] = b";|&`$\n(<";
const ANY_SEPARATOR: Present = Present::set(SEPARATORS);
static IS_SEPARATOR: Bytes = Bytes::of(SEPARATORS);
/// Bytes of a command's name, disguise and folders included, that are read.
const NAME: usize = 64;
/// A command without one of these has neither arguments nor a disguise.
const ARGUMENTS: Present = Present::set(b" +/$\\'\"^{(");

/// A command's name as a shell would read it.
struct Command {
    classes: u32,
    /// Written so that it does not read like what it is: `c''at`, `w\ho`, `p^ing`.
    disguised: bool,
    has_folder: bool,
    end: usize,
}

pub(super) fn find(text: Text<'_>, found: &mut Found) {
    let value = text.value;
    if text.present.any(ANY_SEPARATOR) {
        let pipes = memchr::memchr_iter(b'|', value).take(4).count();
        for (at, byte) in value.iter().enumerate() {
            if IS_SEPARATOR.has(*byte) {
                separator(value, at, *byte, pipes, found);
            }
        }
    }
    first(text, found);
    if text.present.has(b'?') && text.present.has(b'/')
        || text.present.has(b'*') && text.present.has(b'/')
    {
        globs(value, found);
    }
}

fn byte(value: &[u8], at: usize) -> u8 {
    value.get(at).copied().unwrap_or(0)
}

fn blanks(value: &[u8], at: usize) -> usize {
    run(value, at, |byte| {
        matches!(byte, b' ' | b'\t' | b'+' | b'\r')
    })
}

/// Reads the name of a command at `at`: quotes, backslashes and carets inside it mean nothing to a shell.
fn command(value: &[u8], at: usize) -> Option<Command> {
    let mut name = [0u8; 24];
    let mut length = 0;
    let mut disguised = false;
    let mut has_folder = false;
    let mut end = at;
    let mut quotes = 0;
    while end < at + NAME {
        let next = byte(value, end);
        match next {
            b'/' => {
                has_folder = true;
                length = 0;
            }
            b'\'' | b'"' => {
                // A quote behind the name closes what the value stands in.
                if length > 0
                    && quotes % 2 == 0
                    && !is_word(byte(value, end + 1))
                    && byte(value, end + 1) != next
                {
                    break;
                }
                quotes += 1;
            }
            b'\\' | b'^' if is_word(byte(value, end + 1)) => disguised = length > 0 || disguised,
            b'$' if matches!(byte(value, end + 1), b'@' | b'*') => {
                disguised = true;
                end += 1;
            }
            _ if is_word(next)
                || next == b'.' && is_word(byte(value, end + 1))
                || next == b'-' && length > 0 =>
            {
                *name.get_mut(length)? = next;
                length += 1;
            }
            _ => break,
        }
        end += 1;
    }
    let written = name.get(..length)?;
    if length <= 3 && written.iter().any(u8::is_ascii_uppercase) && !disguised {
        return None;
    }
    let classes = bits(written) & (COMMAND | COMMAND_WORD | ALONE);
    (length > 0 && classes != 0).then_some(Command {
        classes,
        disguised: disguised || quotes > 1 && !matches!(byte(value, at), b'\'' | b'"'),
        has_folder,
        end,
    })
}

/// What follows a command looks like its arguments: an option, a path, a variable, a number, an address.
fn has_arguments(value: &[u8], end: usize, strict: bool) -> bool {
    let variable = value.get(end..).is_some_and(|rest| {
        rest.starts_with(b"${IFS")
            || rest.starts_with(b"$IFS")
            || rest.starts_with(b"</")
            || rest.starts_with(b"<(")
    });
    if variable {
        return true;
    }
    let gap = blanks(value, end);
    let at = end + gap;
    let argument = byte(value, at);
    let next = byte(value, at + 1);
    if gap == 0 {
        return matches!(argument, b'>' | b'<') && next == b'/'
            || argument == b'/' && matches!(next, b'c' | b'C') && byte(value, at + 2) == b' ';
    }
    match argument {
        b'/' | b'~' => {
            next.is_ascii_alphanumeric()
                || next == b'/'
                || next == b'.'
                || argument == b'/' && (next == 0 || next == b'?' || next == b'*')
        }
        b'-' => {
            next.is_ascii_alphanumeric()
                || next == b'-' && byte(value, at + 2).is_ascii_alphabetic()
        }
        b'$' | b'%' => is_word(next) || matches!(next, b'(' | b'{'),
        b'.' => next == b'.' || next == b'/',
        b'\'' | b'"' | b'`' => !strict && next != 0,
        b'*' => true,
        b'>' | b'<' => matches!(next, b' ' | b'/' | b'&' | b'>'),
        b'0'..=b'9' => !strict,
        _ => {
            let length = run(value, at, |byte| {
                is_word(byte)
                    || matches!(byte, b'.' | b'-' | b':' | b'/' | b'\\' | b'@' | b'_' | b'*')
            });
            let word = value.get(at..at + length).unwrap_or_default();
            let inner = word
                .get(1..word.len().saturating_sub(1))
                .unwrap_or_default();
            // A file or an address: `cat index.php`, `nc evil.example 80`, `type c:\x`.
            inner.iter().any(|byte| matches!(byte, b'/' | b'\\' | b':'))
                || inner.contains(&b'.') && !word.ends_with(b".")
        }
    }
}

/// What ends a command that has no arguments.
fn ends(value: &[u8], end: usize) -> bool {
    let at = end + blanks(value, end);
    matches!(
        byte(value, at),
        b';' | b'|' | b'&' | b')' | b'`' | b'\'' | b'"' | b'#' | b'\n' | b'>' | b'<'
    ) || at >= value.len()
}

/// How many bytes open a substitution at `at`; 0 for a separator, `None` for neither.
fn opening(value: &[u8], at: usize, mark: u8, found: &mut Found) -> Option<usize> {
    let next = byte(value, at + 1);
    match mark {
        b'$' | b'<' if next == b'(' => Some(2),
        b'`' => Some(1),
        b'$' => {
            let rest = value.get(at..).unwrap_or_default();
            if rest.starts_with(b"$IFS") || rest.starts_with(b"${IFS") {
                found.mark(Sign::ShellDisguise, at, at + 4);
            }
            None
        }
        b'<' | b'(' => None,
        // The second of a pair is looked at.
        _ => (next != mark || mark == b'\n').then_some(0),
    }
}

fn separator(value: &[u8], at: usize, mark: u8, pipes: usize, found: &mut Found) {
    let Some(substitution) = opening(value, at, mark, found) else {
        return;
    };
    let mut start = at + substitution.max(1);
    start += run(value, start, |byte| b" \t+\r({!@".contains(&byte));
    if byte(value, start - 1) == b'{' {
        braces(value, start, found);
    }
    let Some(command) = command(value, start) else {
        return;
    };
    let after = byte(value, command.end);
    let drive = after == b':' && byte(value, command.end + 1) == b'\\';
    if b"=:(,-".contains(&after) && !drive {
        return;
    }
    let doubled = at > 0 && byte(value, at - 1) == mark;
    let strong = command.classes & COMMAND != 0 || command.has_folder;
    let arguments = has_arguments(value, command.end, mark == b'&' && !doubled);
    let complete = (strong || command.classes & ALONE != 0) && ends(value, command.end);
    // What a value begins with does not separate words of a list.
    let leads = strong && at == 0 && mark != b'&' && blanks(value, command.end) > 0;
    let hit = if substitution > 0 {
        arguments || complete
    } else if mark == b'&' && after == b';' {
        // An entity.
        false
    } else if mark == b'&' && !doubled && start == at + 1 {
        // `&id=1` and `&env` are parameters.
        arguments || strong && matches!(after, b' ' | b'\'' | b'"')
    } else if mark == b'\n' {
        arguments && (strong || has_arguments(value, command.end, true))
    } else {
        // Lists of words have many bars.
        arguments || (complete || leads) && (pipes <= 3 || mark != b'|')
    };
    if hit {
        let sign = if substitution > 0 {
            Sign::ShellSubstitution
        } else {
            Sign::ShellCommand
        };
        found.mark(sign, at, command.end);
    }
    if command.disguised {
        found.mark(Sign::ShellDisguise, start, command.end);
    }
}

/// `{cat,/etc/passwd}`: a shell makes blanks of the commas.
fn braces(value: &[u8], start: usize, found: &mut Found) {
    if let Some(command) = command(value, start)
        && byte(value, command.end) == b','
        && matches!(byte(value, command.end + 1), b'/' | b'-' | b'.')
    {
        found.mark(Sign::ShellDisguise, start - 1, command.end + 1);
    }
}

/// A command at the beginning of the value, behind a quote or not.
pub(super) fn first(text: Text<'_>, found: &mut Found) {
    let value = text.value;
    if !text.present.any(ARGUMENTS) {
        return;
    }
    // Shellshock: a function in a variable.
    if value.starts_with(b"()") && text.present.has(b'{') {
        found.mark(Sign::ShellIdiom, 0, 2);
    }
    let mut start = run(value, 0, |byte| {
        matches!(byte, b' ' | b'\t' | b'\'' | b'"' | b')' | b'(' | b'+')
    });
    if byte(value, start) == b'{' {
        braces(value, start + 1, found);
        start += 1;
    }
    let Some(command) = command(value, start) else {
        return;
    };
    let strict = command.classes & COMMAND == 0;
    let known = command.has_folder
        && (value.get(start..).is_some_and(|rest| {
            rest.starts_with(b"/bin/") || rest.starts_with(b"/usr/") || rest.starts_with(b"/sbin/")
        }));
    let after = byte(value, command.end);
    if matches!(after, b'=' | b':' | b',' | b'/') {
        return;
    }
    if known
        || !command.has_folder
            && has_arguments(value, command.end, true)
            && (!strict
                || matches!(
                    byte(value, command.end + blanks(value, command.end)),
                    b'/' | b'-' | b'$' | b'.'
                ))
    {
        found.mark(Sign::ShellIdiom, start, command.end);
    }
    if command.disguised && !command.has_folder {
        found.mark(Sign::ShellDisguise, start, command.end);
    }
}

/// `/???/c?t /e*/p?sswd`: a path of wild cards.
fn globs(value: &[u8], found: &mut Found) {
    let mut at = 0;
    while let Some(next) = memchr::memchr(b'/', value.get(at..).unwrap_or_default()) {
        let start = at + next;
        let length = run(value, start, |byte| {
            is_word(byte) || matches!(byte, b'/' | b'?' | b'*' | b'[' | b']')
        });
        let piece = value.get(start..start + length).unwrap_or_default();
        let wild = piece
            .iter()
            .filter(|byte| matches!(byte, b'?' | b'*'))
            .count();
        let folders = piece.iter().filter(|byte| **byte == b'/').count();
        let absolute = start == 0
            || matches!(
                byte(value, start - 1),
                b' ' | b';' | b'|' | b'&' | b'`' | b'(' | b'}' | b'S'
            );
        // `*/*` is a media type, `/a/?b=/c` a path with a query.
        if absolute
            && folders > 1
            && wild > 1
            && !piece.ends_with(b"/*")
            && !piece.starts_with(b"/*")
        {
            found.mark(Sign::ShellDisguise, start, start + length);
        }
        at = start + length.max(1);
    }
}
