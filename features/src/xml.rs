//! XML bodies: elements, attributes, text, comments, processing instructions and document types.
//!
//! Not here: entity expansion and validation; nothing is resolved, so nothing can explode.

use quick_xml::events::Event;
use quick_xml::reader::Reader;

use crate::decode::Plus;
use crate::field::Scratch;
use crate::lent::Lent;
use crate::location::Location;
use crate::nested::{leaf, name};
use crate::sink::{Origin, Place, emit_unparsed};

/// The element that is open, and its text so far: references, comments and CDATA sections cut a text into pieces that
/// an application sees as one.
struct Element {
    name: Lent,
    text: Lent,
}

/// Walks `body`; what breaks off is scored as raw text.
pub(crate) fn walk(scratch: &mut Scratch, body: &[u8], origin: Origin) {
    let mut reader = Reader::from_reader(body);
    let config = reader.config_mut();
    config.check_end_names = false;
    config.allow_unmatched_ends = true;
    config.allow_dangling_amp = true;
    let mut element = Element {
        name: Lent::new(),
        text: Lent::new(),
    };
    loop {
        let before = usize::try_from(reader.buffer_position()).unwrap_or(body.len());
        match reader.read_event() {
            Ok(Event::Eof) => {
                element.finish(scratch, origin);
                return;
            }
            Ok(event) => add(scratch, &event, &mut element, origin),
            Err(_) => {
                element.finish(scratch, origin);
                let rest = body.get(before..).unwrap_or_default();
                let place = Place::new(Location::Xml, &element.name);
                emit_unparsed(scratch, place, rest, origin);
                return;
            }
        }
    }
}

impl Element {
    /// Adds the text collected so far.
    fn finish(&mut self, scratch: &mut Scratch, origin: Origin) {
        value(scratch, &self.name, &self.text, origin);
        self.text.clear();
    }
}

fn add(scratch: &mut Scratch, event: &Event<'_>, element: &mut Element, origin: Origin) {
    match event {
        Event::Start(start) | Event::Empty(start) => {
            element.finish(scratch, origin);
            element.name.clear();
            element
                .name
                .extend_from_slice(start.name().as_ref().as_bytes());
            let key = &element.name;
            name(scratch, Location::BodyKey, key, Plus::Literal, origin, 0);
            let whole = start.as_ref().as_bytes();
            let attributes = whole.get(key.len()..).unwrap_or_default();
            add_attributes(scratch, start, attributes, origin);
        }
        Event::End(_) => element.finish(scratch, origin),
        Event::Text(text) => element.text.extend_from_slice(text.as_ref().as_bytes()),
        Event::CData(text) => element.text.extend_from_slice(text.as_ref().as_bytes()),
        Event::GeneralRef(reference) => {
            element.text.push(b'&');
            element
                .text
                .extend_from_slice(reference.as_ref().as_bytes());
            element.text.push(b';');
        }
        Event::Comment(text) => value(scratch, b"!--", text.as_ref().as_bytes(), origin),
        Event::PI(text) => value(scratch, b"?", text.as_ref().as_bytes(), origin),
        Event::DocType(text) => {
            let mut declaration = Lent::copy_of(b"<!DOCTYPE ");
            declaration.extend_from_slice(text.as_ref().as_bytes());
            value(scratch, b"!DOCTYPE", &declaration, origin);
        }
        Event::Decl(_) | Event::Eof => {}
    }
}

fn add_attributes(
    scratch: &mut Scratch,
    start: &quick_xml::events::BytesStart<'_>,
    raw: &[u8],
    origin: Origin,
) {
    let mut attributes = start.attributes();
    attributes.with_checks(false);
    for attribute in attributes {
        let Ok(attribute) = attribute else {
            emit_unparsed(scratch, Place::new(Location::Xml, b""), raw, origin);
            return;
        };
        let key = attribute.key.as_ref().as_bytes();
        // Namespace declarations are addresses that never change; they are judged like every other attribute.
        name(scratch, Location::BodyKey, key, Plus::Literal, origin, 0);
        value(scratch, key, attribute.value.as_bytes(), origin);
    }
}

fn value(scratch: &mut Scratch, key: &[u8], text: &[u8], origin: Origin) {
    leaf(
        scratch,
        Place::new(Location::Xml, key),
        text.trim_ascii(),
        Plus::Literal,
        origin,
        0,
    );
}
