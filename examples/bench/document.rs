//! Puts what was measured into the document, between the markers of its section, and plots beside it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// What one part of the measurement has to say.
#[derive(Debug, Clone)]
pub(crate) struct Section {
    /// As in the document's markers.
    pub(crate) name: &'static str,
    pub(crate) text: String,
    /// File names and drawings.
    pub(crate) plots: Vec<(String, String)>,
}

/// Where plots lie, beside the document.
pub(crate) const PLOTS: &str = "performance";

pub(crate) fn write(document: &Path, section: &Section) -> Result<()> {
    let shown = document.display();
    let text = fs::read_to_string(document).with_context(|| format!("cannot read {shown}"))?;
    let text = replace(&text, section).with_context(|| format!("cannot write into {shown}"))?;
    let folder = document.with_file_name(PLOTS);
    for (name, drawing) in &section.plots {
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(name), drawing)?;
    }
    fs::write(document, text).with_context(|| format!("cannot write {shown}"))
}

fn replace(document: &str, section: &Section) -> Result<String> {
    let name = section.name;
    let [begin, end] = ["begin", "end"].map(|edge| format!("<!-- {edge}: {name} -->"));
    let Some((before, rest)) = document.split_once(&begin) else {
        bail!("there is no line `{begin}`: add it, and `{end}` behind it");
    };
    let Some((_, after)) = rest.split_once(&end) else {
        bail!("there is no line `{end}` behind `{begin}`");
    };
    let text = section.text.trim();
    Ok(format!("{before}{begin}\n\n{text}\n\n{end}{after}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_what_stands_between_the_markers_changes() {
        let section = Section {
            name: "scale",
            text: "new\n".to_owned(),
            plots: Vec::new(),
        };
        let before = "a\n<!-- begin: scale -->\nold\n<!-- end: scale -->\nb\n";
        let after = "a\n<!-- begin: scale -->\n\nnew\n\n<!-- end: scale -->\nb\n";
        assert_eq!(replace(before, &section).unwrap(), after);
        assert_eq!(replace(after, &section).unwrap(), after);
        assert!(replace("a\n<!-- begin: scale -->\n", &section).is_err());
        assert!(replace("a\n<!-- end: scale -->\n", &section).is_err());
    }
}
