//! Numbers as a page shows them: rounded for the eye, exact for whatever reads or sorts the page.

use maud::{Markup, html};

use crate::report::ModelDifference;

/// A number with so many decimals.
pub(super) fn number(value: f64, decimals: usize) -> Markup {
    exact(value, format!("{value:.decimals$}"))
}

/// A number with its sign.
pub(super) fn signed(value: f64, decimals: usize) -> Markup {
    exact(value, format!("{value:+.decimals$}"))
}

/// A count.
pub(super) fn count(value: usize) -> Markup {
    html! { data value=(value) { (value) } }
}

/// A p-value.
pub(super) fn p_value(p: f64) -> Markup {
    let shown = match p {
        _ if p < 0.0001 => format!("{p:.0e}"),
        _ if p < 0.1 => format!("{p:.4}"),
        _ => format!("{p:.2}"),
    };
    exact(p, shown)
}

/// A difference with its interval, told apart by sign and arrow as well as by colour.
pub(super) fn difference(difference: &ModelDifference) -> Markup {
    let ModelDifference {
        value, low, high, ..
    } = *difference;
    let (class, arrow) = match value {
        _ if value > 0.0 => ("up", "▲"),
        _ if value < 0.0 => ("down", "▼"),
        _ => ("same", "="),
    };
    let is_clear = low > 0.0 || high < 0.0;
    html! {
        div.difference.(class).clear[is_clear] {
            span aria-hidden="true" { (arrow) " " }
            (signed(value, 1))
            span.interval { " [" (signed(low, 1)) ", " (signed(high, 1)) "]" }
        }
    }
}

/// Seconds as people say them.
pub(super) fn duration(seconds: f64) -> String {
    match seconds {
        _ if seconds < 9.95 => format!("{seconds:.1} s"),
        _ if seconds < 59.5 => format!("{seconds:.0} s"),
        _ => {
            let whole = seconds.round() as u64;
            let (hours, minutes, rest) = (whole / 3600, whole / 60 % 60, whole % 60);
            if hours > 0 {
                format!("{hours} h {minutes:02} min")
            } else {
                format!("{minutes} min {rest:02} s")
            }
        }
    }
}

fn exact(value: f64, shown: String) -> Markup {
    html! { data value=(format!("{value:?}")) { (shown.replace('-', "−")) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_the_units_that_fit() {
        for (seconds, expected) in [
            (0.04, "0.0 s"),
            (9.96, "10 s"),
            (59.6, "1 min 00 s"),
            (125.0, "2 min 05 s"),
            (3_725.0, "1 h 02 min"),
        ] {
            assert_eq!(duration(seconds), expected);
        }
    }

    #[test]
    fn what_is_shown_is_rounded_and_what_is_kept_is_not() {
        assert_eq!(
            signed(-1.0 / 3.0, 1).into_string(),
            "<data value=\"-0.3333333333333333\">−0.3</data>"
        );
        assert_eq!(
            p_value(3e-9).into_string(),
            "<data value=\"3e-9\">3e−9</data>"
        );
    }
}
