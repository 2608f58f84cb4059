//! Differences of all models to one of them, with their intervals: a line a task.

use maud::{Markup, html};
use plotters::prelude::SVGBackend;
use plotters::prelude::{
    ChartBuilder, EmptyElement, IntoDrawingArea as _, IntoFont as _, PathElement, TRANSPARENT,
    Text, TextStyle,
};
use plotters::style::Color as _;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::paint::{AXIS, GRID, INK, line, marker};
use super::{embed, legend};
use crate::report::{ComparedOver, ModelDifference, TableData};

/// Height of a model's interval, in the figure's units.
const INTERVAL: u32 = 15;
/// Room between lines.
const BETWEEN: u32 = 14;
/// Height of the axis.
const AXES: u32 = 68;

/// A figure for each number of worked examples.
pub(in crate::report::html) fn differences(table: &TableData) -> Markup {
    let Some(against) = &table.compared_with else {
        return html! {};
    };
    let mut groups = table.shots();
    if groups.is_empty() {
        groups.push(0);
    }
    // Their numbers in the table, so that a model looks the same in all figures.
    let models = table.models.iter().map(String::as_str).enumerate();
    let others: Vec<(usize, &str)> = models.filter(|(_, model)| model != against).collect();
    html! {
        @for &shots in &groups {
            @let lines = lines(table, shots);
            @if !lines.is_empty() {
                figure.tall {
                    figcaption {
                        "Differences to " (against) " with 95% intervals, " (shots) "-shot"
                    }
                    (draw(table, shots, &lines, &others))
                    (legend(&others))
                }
            }
        }
    }
}

/// What models were compared over.
fn lines(table: &TableData, shots: usize) -> Vec<&ComparedOver> {
    let mut found: Vec<&ComparedOver> = Vec::new();
    for difference in &table.differences {
        let is_target = matches!(difference.over, ComparedOver::Target(_));
        let belongs = is_target || difference.shots == shots;
        if belongs && !found.contains(&&difference.over) {
            found.push(&difference.over);
        }
    }
    found
}

fn draw(
    table: &TableData,
    shots: usize,
    lines: &[&ComparedOver],
    models: &[(usize, &str)],
) -> Markup {
    let height = lines.len() as u32 * (models.len() as u32 * INTERVAL + BETWEEN) + AXES;
    let size = (640, height);
    let mut svg = String::new();
    write(table, shots, lines, models, size, &mut svg).expect("drawing into memory cannot fail");
    embed(
        &svg,
        size,
        &format!("Differences of scores, {shots}-shot; numbers are in the tables"),
    )
}

fn write(
    table: &TableData,
    shots: usize,
    lines: &[&ComparedOver],
    models: &[(usize, &str)],
    size: (u32, u32),
    svg: &mut String,
) -> Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::with_string(svg, size).into_drawing_area();
    let of = |over: &ComparedOver, model: &str| -> Option<&ModelDifference> {
        let shots = if matches!(over, ComparedOver::Target(_)) {
            0
        } else {
            shots
        };
        let mut all = table.differences.iter();
        all.find(|d| d.over == *over && d.model == model && d.shots == shots)
    };
    let mut farthest: f64 = 1.0;
    for (over, model) in lines
        .iter()
        .flat_map(|over| models.iter().map(move |m| (over, m.1)))
    {
        if let Some(found) = of(over, model) {
            farthest = farthest.max(found.low.abs()).max(found.high.abs());
        }
    }
    let left = -farthest * 1.05;
    let mut chart = ChartBuilder::on(&root)
        .margin(10)
        .margin_right(24)
        .margin_left(200)
        .x_label_area_size(48)
        .build_cartesian_2d(left..-left, lines.len() as f64..0.0)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(AXIS)
        .label_style(("sans-serif", 18).into_font().color(&INK))
        .x_desc("difference of scores")
        .x_labels(8)
        .x_label_formatter(&|value| format!("{value:+.0}"))
        .draw()?;
    let bottom = lines.len() as f64;
    chart.draw_series(std::iter::once(PathElement::new(
        vec![(0.0, 0.0), (0.0, bottom)],
        AXIS.stroke_width(1),
    )))?;
    for (row, over) in lines.iter().enumerate() {
        let style = TextStyle::from(("sans-serif", 18).into_font())
            .color(&INK)
            .pos(Pos::new(HPos::Right, VPos::Center));
        let text = Text::new(name(table, over), (-12, 0), style);
        chart.draw_series(std::iter::once(
            EmptyElement::at((left, row as f64 + 0.5)) + text,
        ))?;
        for (place, &(index, model)) in models.iter().enumerate() {
            let Some(found) = of(over, model) else {
                continue;
            };
            let share = (place as f64 + 0.5) / models.len() as f64;
            let y = row as f64 + 0.15 + 0.7 * share;
            let interval = vec![(found.low, y), (found.high, y)];
            chart.draw_series(std::iter::once(PathElement::new(
                interval,
                line(index).stroke_width(2),
            )))?;
            chart.draw_series(std::iter::once(marker((found.value, y), index)))?;
        }
    }
    root.present()?;
    Ok(())
}

/// What fits beside a figure.
fn name(table: &TableData, over: &ComparedOver) -> String {
    let name = match over {
        ComparedOver::Target(task) => format!("{} (tuned)", table.title(task)),
        ComparedOver::NormalizedAverage => "Norm. Avg.".to_owned(),
        ComparedOver::ForeignFormats => "foreign formats".to_owned(),
        ComparedOver::Task(task) => table.title(task),
    };
    if name.chars().count() <= 24 {
        return name;
    }
    let beginning: String = name.chars().take(23).collect();
    format!("{beginning}…")
}
