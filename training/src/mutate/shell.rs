//! Shell commands that read differently and do the same.
//!
//! Must not be here: encodings of the transport.

use super::common::{blanks, text, word, words};
use crate::exposure::dice::Dice;
use crate::exposure::encode;

const PROGRAMS: &[&str] = &[
    "cat",
    "id",
    "ls",
    "ping",
    "whoami",
    "uname",
    "curl",
    "wget",
    "nslookup",
    "sleep",
    "bash",
    "sh",
    "echo",
    "nc",
    "dir",
    "type",
    "ifconfig",
    "ipconfig",
    "netstat",
    "python",
    "perl",
    "php",
    "ruby",
    "head",
    "tail",
    "more",
    "less",
    "find",
    "env",
    "printenv",
    "ps",
    "pwd",
    "touch",
    "chmod",
    "rm",
    "systeminfo",
    "hostname",
    "net",
    "dig",
    "sed",
    "awk",
    "grep",
];

fn is_program(word: &str) -> bool {
    word.len() > 1 && PROGRAMS.contains(&word)
}

/// Rewrites the names of programs that a shell looks up.
fn programs(payload: &[u8], mut change: impl FnMut(&str) -> String) -> Option<Vec<u8>> {
    let changed = words(text(payload)?, |word| {
        is_program(word).then(|| change(word))
    });
    Some(changed.into_bytes())
}

fn with_inside(word: &str, inside: &str, dice: &mut Dice) -> String {
    let at = 1 + dice.below(word.len() - 1);
    let (left, right) = word.split_at_checked(at).unwrap_or((word, ""));
    format!("{left}{inside}{right}")
}

pub(super) fn quotes(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    programs(payload, |word| {
        let noise = dice.word(&["''", "\"\"", "\\"]);
        with_inside(word, noise, dice)
    })
}

pub(super) fn variables(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    programs(payload, |program| {
        let noise = match dice.below(4) {
            0 => "$@".to_owned(),
            1 => "$*".to_owned(),
            2 => format!("${{{}}}", word(dice)),
            _ => "$()".to_owned(),
        };
        with_inside(program, &noise, dice)
    })
}

pub(super) fn ifs(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let first = text(payload)?.trim_start();
    let lead = payload.len() - first.len();
    let blank = dice.word(&["${IFS}", "$IFS$9", "$IFS", "<>", "%09"]);
    let rest = blanks(first, || blank.to_owned())?;
    Some([payload.get(..lead)?, &rest].concat())
}

pub(super) fn program_path(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let text = text(payload).filter(|text| !text.contains("bin/"))?;
    let folder = dice.word(&["/bin/", "/usr/bin/", "/usr/bin/env "]);
    programs(text.as_bytes(), |word| format!("{folder}{word}"))
}

pub(super) fn separator(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let text = text(payload)?;
    let old = ["&&", "||", ";", "|", "&"]
        .into_iter()
        .find(|mark| text.trim_start().starts_with(mark) || text.contains(&format!("{mark} ")))?;
    let others: Vec<&str> = ["&&", "||", ";", "\n", "%0a"]
        .into_iter()
        .filter(|mark| *mark != old)
        .collect();
    Some(text.replacen(old, dice.word(&others), 1).into_bytes())
}

/// `cat /etc/passwd` as `{cat,/etc/passwd}`: from the program to the next mark that ends a command.
pub(super) fn braces(payload: &[u8], _: &mut Dice) -> Option<Vec<u8>> {
    let text = text(payload)?;
    let start = PROGRAMS
        .iter()
        .filter_map(|name| {
            let at = text.find(&format!("{name} "))?;
            let own = text.get(..at).is_some_and(|before| {
                !before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '/')
            });
            own.then_some(at)
        })
        .min()?;
    let command = text.get(start..)?;
    let length = command
        .find(|c: char| {
            matches!(
                c,
                ';' | '|' | '&' | '\n' | '`' | ')' | '>' | '<' | '"' | '\''
            )
        })
        .unwrap_or(command.len());
    let inner = command.get(..length)?.trim_end();
    let rest = command.get(inner.len()..)?;
    let parts: Vec<&str> = inner.split_whitespace().collect();
    (parts.len() > 1).then(|| {
        format!(
            "{}{{{}}}{rest}",
            text.get(..start).unwrap_or_default(),
            parts.join(",")
        )
        .into_bytes()
    })
}

/// One letter of each part of an absolute path as a wildcard.
pub(super) fn wildcards(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let text = text(payload).filter(|text| !text.contains("://"))?;
    let parts: Vec<&str> = text.split('/').collect();
    let mut out = (*parts.first()?).to_owned();
    for part in parts.iter().skip(1) {
        let name = part.bytes().take_while(u8::is_ascii_alphanumeric).count();
        out.push('/');
        if name < 3 {
            out.push_str(part);
            continue;
        }
        let at = 1 + dice.below(name - 2);
        out.push_str(part.get(..at)?);
        out.push('?');
        out.push_str(part.get(at + 1..)?);
    }
    Some(out.into_bytes())
}

/// What follows the first separator, handed to a shell as base64.
pub(super) fn base64(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let text = text(payload)?;
    let at = text.find([';', '|', '&', '\n'])?;
    let command = text
        .get(at..)?
        .trim_start_matches([';', '|', '&', '\n', ' ']);
    let head = text.get(..text.len() - command.len())?;
    let runs = command
        .split_whitespace()
        .next()
        .is_some_and(|first| is_program(first.rsplit('/').next().unwrap_or(first)));
    let shell = dice.word(&["sh", "bash"]);
    runs.then(|| {
        let code = String::from_utf8_lossy(&encode::base64(command.as_bytes())).into_owned();
        format!("{head}echo {code}|base64 -d|{shell}").into_bytes()
    })
}
