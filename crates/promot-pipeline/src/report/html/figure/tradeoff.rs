//! The target's score against what a model can do besides.

use maud::Markup;
use plotters::prelude::SVGBackend;
use plotters::prelude::{
    ChartBuilder, EmptyElement, IntoDrawingArea as _, IntoFont as _, LineSeries, TRANSPARENT, Text,
    TextStyle,
};
use plotters::style::Color as _;

use super::paint::{AXIS, GRID, INK, line, marker};
use super::{SIZE, embed};
use crate::report::Plot;

/// Both scales whole, so that figures can be compared with each other.
const WHOLE: std::ops::Range<f64> = -3.0..103.0;

/// A marker for each point; checkpoints of a model are joined in the order of their steps, and the
/// first and the last have their steps beside them.
pub(super) fn draw(plot: &Plot) -> Markup {
    let mut svg = String::new();
    write(plot, &mut svg).expect("drawing into memory cannot fail");
    embed(
        &svg,
        SIZE,
        &format!("{}: {} against {}", plot.title, plot.y, plot.x),
    )
}

fn write(plot: &Plot, svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    let mut chart = ChartBuilder::on(&root)
        .margin(10)
        .margin_right(24)
        .x_label_area_size(48)
        .y_label_area_size(64)
        .build_cartesian_2d(WHOLE, WHOLE)?;
    let label = |value: &f64| format!("{value:.0}");
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(AXIS)
        .label_style(("sans-serif", 18).into_font().color(&INK))
        .x_desc(plot.x.as_str())
        .y_desc(plot.y.as_str())
        .x_labels(6)
        .y_labels(6)
        .x_label_formatter(&label)
        .y_label_formatter(&label)
        .draw()?;
    for (index, series) in plot.lines.iter().enumerate() {
        let points = || series.points.iter().map(|point| (point.x, point.y));
        chart.draw_series(LineSeries::new(points(), line(index).stroke_width(2)))?;
        let marks: Vec<_> = points().map(|at| marker(at, index)).collect();
        chart.draw_series(marks)?;
        for point in [series.points.first(), series.points.last()]
            .into_iter()
            .flatten()
        {
            let Some(step) = point.step else { continue };
            let style = TextStyle::from(("sans-serif", 15).into_font()).color(&INK);
            let text = Text::new(step.to_string(), (8, -16), style);
            chart.draw_series(std::iter::once(EmptyElement::at((point.x, point.y)) + text))?;
        }
    }
    root.present()?;
    Ok(())
}
