//! Values over steps, with their bands.

use maud::Markup;
use plotters::prelude::SVGBackend;
use plotters::prelude::{
    ChartBuilder, IntoDrawingArea as _, IntoFont as _, LineSeries, Polygon, TRANSPARENT,
};
use plotters::style::Color as _;

use super::paint::{AXIS, GRID, INK, band, line, marker};
use super::{SIZE, embed};
use crate::report::{Line, Plot, Point};

/// How much of a band covers what is below it.
const BAND: f64 = 0.16;

/// A line for each of the plot's.
pub(super) fn draw(plot: &Plot) -> Markup {
    let mut svg = String::new();
    write(plot, &mut svg).expect("drawing into memory cannot fail");
    embed(
        &svg,
        SIZE,
        &format!("{}: {} over {}", plot.title, plot.y, plot.x),
    )
}

fn write(plot: &Plot, svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    let (x, y) = (horizontal(plot), vertical(plot));
    let mut chart = ChartBuilder::on(&root)
        .margin(10)
        .margin_right(24)
        .x_label_area_size(48)
        .y_label_area_size(64)
        .build_cartesian_2d(x, y.clone())?;
    let decimals = decimals(y.end - y.start);
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(AXIS)
        .label_style(("sans-serif", 18).into_font().color(&INK))
        .x_desc(plot.x.as_str())
        .y_desc(plot.y.as_str())
        .x_labels(6)
        .y_labels(6)
        .x_label_formatter(&|value| format!("{value:.0}"))
        .y_label_formatter(&|value| format!("{value:.decimals$}"))
        .draw()?;
    for (index, series) in plot.lines.iter().enumerate() {
        if let Some(outline) = outline(series) {
            chart.draw_series(std::iter::once(Polygon::new(
                outline,
                band(index).mix(BAND).filled(),
            )))?;
        }
    }
    for (index, series) in plot.lines.iter().enumerate() {
        let points = || series.points.iter().map(|point| (point.x, point.y));
        chart.draw_series(LineSeries::new(points(), line(index).stroke_width(2)))?;
        // Markers of a long line would be a line of their own.
        let every = series.points.len().div_ceil(40).max(1);
        let marks: Vec<_> = points()
            .step_by(every)
            .map(|at| marker(at, index))
            .collect();
        chart.draw_series(marks)?;
    }
    root.present()?;
    Ok(())
}

/// Around the band of a line: its upper ends there, its lower ends back.
fn outline(line: &Line) -> Option<Vec<(f64, f64)>> {
    let end = |end: fn(&Point) -> Option<f64>| -> Option<Vec<(f64, f64)>> {
        let ends = line.points.iter().map(|point| Some((point.x, end(point)?)));
        ends.collect()
    };
    let (mut around, below) = (end(|point| point.high)?, end(|point| point.low)?);
    around.extend(below.into_iter().rev());
    (line.points.len() > 1).then_some(around)
}

fn horizontal(plot: &Plot) -> std::ops::Range<f64> {
    let points = plot.lines.iter().flat_map(|line| &line.points);
    let (low, high) = ends(points.map(|point| point.x));
    if low < high {
        low..high
    } else {
        low - 1.0..high + 1.0
    }
}

fn vertical(plot: &Plot) -> std::ops::Range<f64> {
    let points = plot.lines.iter().flat_map(|line| &line.points);
    let values = points.flat_map(|point| [Some(point.y), point.low, point.high]);
    let (low, high) = ends(values.flatten());
    let room = (0.06 * (high - low)).max(if plot.is_percent { 1.0 } else { 1e-3 });
    let (mut low, mut high) = (low - room, high + room);
    if plot.is_percent {
        (low, high) = (low.max(-2.0), high.min(102.0));
    }
    low..high
}

fn ends(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let start = (f64::INFINITY, f64::NEG_INFINITY);
    values.fold(start, |(low, high), value| {
        (low.min(value), high.max(value))
    })
}

/// Decimals that tell labels apart.
fn decimals(range: f64) -> usize {
    match range {
        _ if range > 8.0 => 0,
        _ if range > 0.8 => 1,
        _ if range > 0.08 => 2,
        _ => 3,
    }
}
