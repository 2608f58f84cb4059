//! The stages and what they read, laid out by a library and drawn in the page's own style.

use std::fmt::Write as _;

use layout::core::base::Orientation;
use layout::core::format::{ClipHandle, RenderBackend};
use layout::core::geometry::Point;
use layout::core::style::StyleAttr;
use layout::std_shapes::shapes::{Arrow, Element, ShapeKind};
use layout::topo::layout::VisualGraph;
use maud::{Escaper, Markup, PreEscaped, html};

use super::number::duration;
use crate::report::StageDetails;

/// Height of a stage's box, in the drawing's units.
const HEIGHT: f64 = 58.0;
/// Width of a character at most.
const CHARACTER: f64 = 8.5;

/// The graph of the stages with their times.
pub(super) fn graph(stages: &[StageDetails]) -> Markup {
    if stages.is_empty() {
        return html! {};
    }
    let orientation = Orientation::LeftToRight;
    let mut graph = VisualGraph::new(orientation);
    let mut handles = Vec::new();
    for stage in stages {
        let time = stage.effort.as_ref().map(|effort| duration(effort.seconds));
        let text = format!(
            "{}\n{}\n{}",
            stage.name,
            stage.kind,
            time.unwrap_or_default()
        );
        let longest = text.lines().map(|line| line.chars().count()).max();
        let width = 24.0 + CHARACTER * longest.unwrap_or(0) as f64;
        let element = Element::create(
            ShapeKind::new_box(&text),
            StyleAttr::simple(),
            orientation,
            Point::new(width, HEIGHT),
        );
        handles.push(graph.add_node(element));
    }
    for (to, stage) in stages.iter().enumerate() {
        for input in &stage.inputs {
            if let Some(from) = stages.iter().position(|other| other.name == *input) {
                graph.add_edge(Arrow::simple(""), handles[from], handles[to]);
            }
        }
    }
    let mut drawing = Drawing::default();
    graph.do_it(false, false, false, &mut drawing);
    drawing.finish()
}

/// What was drawn so far, with how far it reaches.
#[derive(Default)]
struct Drawing {
    lines: String,
    boxes: String,
    width: f64,
    height: f64,
}

impl Drawing {
    fn reach(&mut self, x: f64, y: f64) {
        self.width = self.width.max(x + 6.0);
        self.height = self.height.max(y + 6.0);
    }

    fn finish(self) -> Markup {
        let Self {
            lines,
            boxes,
            width,
            height,
        } = self;
        html! {
            div.scroll tabindex="0" role="region" aria-label="Stages" {
                svg.graph viewBox=(format!("0 0 {width:.0} {height:.0}"))
                    width=(format!("{width:.0}")) height=(format!("{height:.0}"))
                    role="img" aria-label="The stages with what they read; a table of them follows" {
                    defs {
                        marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5"
                            markerWidth="7" markerHeight="7" orient="auto" {
                            path d="M 0 1 L 9 5 L 0 9 z" {}
                        }
                    }
                    (PreEscaped(lines))
                    (PreEscaped(boxes))
                }
            }
        }
    }
}

impl RenderBackend for Drawing {
    fn draw_rect(
        &mut self,
        at: Point,
        size: Point,
        _look: &StyleAttr,
        _properties: Option<String>,
        _clip: Option<ClipHandle>,
    ) {
        self.reach(at.x + size.x, at.y + size.y);
        let _ = write!(
            self.boxes,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"6\"/>",
            at.x, at.y, size.x, size.y
        );
    }

    fn draw_text(&mut self, at: Point, text: &str, _look: &StyleAttr) {
        let lines = text.lines().count() as f64;
        for (number, line) in text.lines().enumerate() {
            let y = at.y + (number as f64 - (lines - 1.0) / 2.0) * 17.0;
            let class = if number == 0 { "name" } else { "kind" };
            let _ = write!(
                self.boxes,
                "<text class=\"{class}\" x=\"{:.1}\" y=\"{y:.1}\" dy=\"0.35em\">",
                at.x
            );
            let _ = Escaper::new(&mut self.boxes).write_str(line);
            self.boxes.push_str("</text>");
        }
    }

    fn draw_arrow(
        &mut self,
        path: &[(Point, Point)],
        _dashed: bool,
        _head: (bool, bool),
        _look: &StyleAttr,
        _properties: Option<String>,
        _text: &str,
    ) {
        for (point, control) in path {
            self.reach(point.x, point.y);
            self.reach(control.x, control.y);
        }
        let [(start, out), (control, end), rest @ ..] = path else {
            return;
        };
        let _ = write!(
            self.lines,
            "<path d=\"M {:.1} {:.1} C {:.1} {:.1}, {:.1} {:.1}, {:.1} {:.1}",
            start.x, start.y, out.x, out.y, control.x, control.y, end.x, end.y
        );
        for (control, end) in rest {
            let _ = write!(
                self.lines,
                " S {:.1} {:.1}, {:.1} {:.1}",
                control.x, control.y, end.x, end.y
            );
        }
        self.lines.push_str("\" marker-end=\"url(#arrow)\"/>");
    }

    // Boxes and arrows are all that the graph is made of.
    fn draw_line(
        &mut self,
        _start: Point,
        _stop: Point,
        _look: &StyleAttr,
        _properties: Option<String>,
    ) {
    }

    fn draw_circle(
        &mut self,
        _at: Point,
        _size: Point,
        _look: &StyleAttr,
        _properties: Option<String>,
    ) {
    }

    fn create_clip(&mut self, _at: Point, _size: Point, _rounded: usize) -> ClipHandle {
        0
    }
}
