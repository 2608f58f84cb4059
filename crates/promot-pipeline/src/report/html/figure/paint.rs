//! Roles of what is drawn: as colours while plotters draws, as classes in the page.

use std::fmt::Write as _;
use std::ops::Add;

use plotters::backend::DrawingBackend;
use plotters::prelude::{EmptyElement, Polygon, RGBColor};
use plotters::style::Color as _;

/// How many lines look different before looks come again.
pub(super) const LOOKS: usize = 8;

/// Text.
pub(super) const INK: RGBColor = RGBColor(1, 2, 0);
/// Axes, and lines that something is compared with.
pub(super) const AXIS: RGBColor = RGBColor(1, 2, 1);
/// Lines across the ground.
pub(super) const GRID: RGBColor = RGBColor(1, 2, 2);

/// What stands for the line of a number.
pub(super) fn line(index: usize) -> RGBColor {
    RGBColor(1, 3, (index % LOOKS) as u8)
}

/// What stands for its markers.
pub(super) fn mark(index: usize) -> RGBColor {
    RGBColor(1, 4, (index % LOOKS) as u8)
}

/// What stands for the band around it.
pub(super) fn band(index: usize) -> RGBColor {
    RGBColor(1, 5, (index % LOOKS) as u8)
}

/// Outlines of markers around (0, 0).
const MARKERS: [&[(i32, i32)]; LOOKS] = [
    &[
        (-2, -5),
        (2, -5),
        (5, -2),
        (5, 2),
        (2, 5),
        (-2, 5),
        (-5, 2),
        (-5, -2),
    ],
    &[(-4, -4), (4, -4), (4, 4), (-4, 4)],
    &[(0, -6), (6, 5), (-6, 5)],
    &[(0, -6), (6, 0), (0, 6), (-6, 0)],
    &[(0, 6), (6, -5), (-6, -5)],
    &[
        (-2, -6),
        (2, -6),
        (2, -2),
        (6, -2),
        (6, 2),
        (2, 2),
        (2, 6),
        (-2, 6),
        (-2, 2),
        (-6, 2),
        (-6, -2),
        (-2, -2),
    ],
    &[(-6, -2), (6, -2), (6, 2), (-6, 2)],
    &[(-2, -6), (2, -6), (2, 6), (-2, 6)],
];

/// Where a marker lies, with its outline in pixels around that.
pub(super) type Marker<DB> = <EmptyElement<(f64, f64), DB> as Add<Polygon<(i32, i32)>>>::Output;

/// A marker of the line of a number.
pub(super) fn marker<DB: DrawingBackend>(at: (f64, f64), index: usize) -> Marker<DB> {
    let outline = MARKERS[index % LOOKS].to_vec();
    EmptyElement::at(at) + Polygon::new(outline, mark(index).filled())
}

/// The same with a piece of line, for a legend.
pub(super) fn key(index: usize) -> String {
    let look = index % LOOKS;
    let mut points = String::new();
    for (x, y) in MARKERS[look] {
        let _ = write!(points, "{},{} ", x + 18, y + 7);
    }
    format!(
        "<svg class=\"key\" viewBox=\"0 0 36 14\" aria-hidden=\"true\"><line class=\"line{look}\" \
         x1=\"0\" y1=\"7\" x2=\"36\" y2=\"7\"/><polygon class=\"mark{look}\" points=\"{}\"/></svg>",
        points.trim_end()
    )
}

/// What is inside a drawing, with classes in the place of colours.
pub(super) fn inner(svg: &str) -> String {
    let start = svg.find('>').map_or(0, |end| end + 1);
    let end = svg.rfind("</svg>").unwrap_or(svg.len());
    let mut text = svg[start..end].to_owned();
    let mut roles = vec![
        (INK, "ink".to_owned()),
        (AXIS, "axis".to_owned()),
        (GRID, "grid".to_owned()),
    ];
    for look in 0..LOOKS {
        roles.push((line(look), format!("line{look}")));
        roles.push((mark(look), format!("mark{look}")));
        roles.push((band(look), format!("band{look}")));
    }
    for (RGBColor(r, g, b), class) in roles {
        // An element has one colour, of its line or of its area. Text of the data cannot look like an
        // attribute: its quotes are escaped.
        for attribute in ["fill", "stroke"] {
            let colour = format!("{attribute}=\"#{r:02X}{g:02X}{b:02X}\"");
            text = text.replace(&colour, &format!("class=\"{class}\""));
        }
    }
    text
}
