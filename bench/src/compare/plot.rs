//! The picture docs/benchmark.svg: CPU per message as a ratio to mosquitto, with the targets.

use std::fmt::Write as _;

use super::{
    results::{Results, show},
    subject::Subject::{Mosquitto, Node},
    targets::RATIOS,
};
use crate::catalogue::Scenario;

const WIDTH: f64 = 900.0;
const LEFT: f64 = 375.0;
const RIGHT: f64 = 70.0;
const TOP: f64 = 86.0;
const ROW: f64 = 44.0;
const BAR: f64 = 14.0;
/// The ends of the logarithmic axis.
const LEAST: f64 = 0.01;
const MOST: f64 = 30.0;
const GRID: [f64; 8] = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0];

const NODE: &str = "#1f6f8b";
const CLUSTER: &str = "#99c1cf";
const TARGET: &str = "#c8442d";
const INK: &str = "#222222";

/// The whole picture. Without mosquitto it has no bars, and says so.
pub(crate) fn svg(results: &Results) -> String {
    let height = TOP + ROW * RATIOS.len() as f64 + 46.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"13\" fill=\"{INK}\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    heading(&mut out, results);
    grid(&mut out, height);
    for (at, (scenario, target)) in RATIOS.into_iter().enumerate() {
        row(&mut out, results, TOP + ROW * at as f64, (scenario, target));
    }
    out.push_str("</svg>\n");
    out
}

fn text(out: &mut String, (x, y): (f64, f64), attributes: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" {attributes}>{words}</text>"
    );
}

fn rectangle(out: &mut String, (x, y): (f64, f64), (width, height): (f64, f64), colour: &str) {
    let _ = writeln!(
        out,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>"
    );
}

fn heading(out: &mut String, results: &Results) {
    let title = match results.mosquitto() {
        Some(version) => format!("CPU per message delivered, as a ratio to mosquitto {version}"),
        None => "mosquitto is not installed: there is nothing to compare with".to_owned(),
    };
    text(
        out,
        (16.0, 28.0),
        "font-size=\"17\" font-weight=\"bold\"",
        &title,
    );
    let legend = [
        (NODE, "one node", 16.0),
        (CLUSTER, "across two nodes, Postgres included", 110.0),
        (TARGET, "target for one node", 376.0),
    ];
    for (colour, words, x) in legend {
        let width = if colour == TARGET { 3.0 } else { 12.0 };
        rectangle(out, (x, 42.0), (width, 12.0), colour);
        text(out, (x + width + 6.0, 53.0), "", words);
    }
    text(
        out,
        (WIDTH - RIGHT, 53.0),
        "text-anchor=\"end\" fill=\"#666666\"",
        "less is better",
    );
}

fn position(ratio: f64) -> f64 {
    let share = (ratio.clamp(LEAST, MOST) / LEAST).log10() / (MOST / LEAST).log10();
    LEFT + share * (WIDTH - LEFT - RIGHT)
}

/// Where the label of a bar that ends at `end` begins: behind the mark of the target, if that is in its way.
fn beside(end: f64, mark: f64) -> f64 {
    let is_in_the_way = mark > end - 8.0 && mark < end + 44.0;
    if is_in_the_way {
        mark.max(end) + 8.0
    } else {
        end + 6.0
    }
}

fn grid(out: &mut String, height: f64) {
    for ratio in GRID {
        let (x, strong) = (position(ratio), (ratio - 1.0).abs() < 1e-9);
        let (colour, width) = if strong {
            ("#888888", 1.5)
        } else {
            ("#e2e2e2", 1.0)
        };
        let (top, bottom) = (TOP - 10.0, height - 34.0);
        let _ = writeln!(
            out,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"{bottom}\" stroke=\"{colour}\" stroke-width=\"{width}\"/>"
        );
        let words = if strong {
            "1 = mosquitto".to_owned()
        } else {
            format!("{ratio}")
        };
        text(
            out,
            (x, height - 16.0),
            "text-anchor=\"middle\" fill=\"#666666\"",
            &words,
        );
    }
}

fn row(out: &mut String, results: &Results, y: f64, (scenario, target): (Scenario, f64)) {
    text(
        out,
        (16.0, y + 13.0),
        "font-weight=\"bold\"",
        scenario.name(),
    );
    text(out, (42.0, y + 13.0), "font-size=\"12\"", scenario.what());
    let mosquitto = results.median(scenario, Mosquitto, "cpu_us_per_msg");
    let cost = format!("mosquitto: {} µs", show(mosquitto));
    text(
        out,
        (42.0, y + 28.0),
        "font-size=\"11\" fill=\"#666666\"",
        &cost,
    );
    let one = results.median(scenario, Node, "cpu_us_per_msg") / mosquitto;
    let both = results.whole_cost(scenario) / mosquitto;
    let bars = [(one, NODE, y), (both, CLUSTER, y + BAR + 2.0)];
    for (ratio, colour, top) in bars {
        if !ratio.is_nan() {
            let end = position(ratio);
            rectangle(out, (LEFT, top), ((end - LEFT).max(1.0), BAR), colour);
        }
    }
    let mark = (position(target) - 1.5, y - 3.0);
    rectangle(out, mark, (3.0, BAR + 6.0), TARGET);
    // With a white rim, so that they can be read upon the grid.
    let rim = "font-size=\"12\" paint-order=\"stroke\" stroke=\"#ffffff\" stroke-width=\"3\"";
    for (ratio, _, top) in bars {
        if !ratio.is_nan() {
            let place = (beside(position(ratio), mark.0), top + 11.5);
            text(out, place, rim, &show(ratio));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Figures;

    #[test]
    fn the_axis_is_logarithmic_and_bounded() {
        assert!((position(LEAST) - LEFT).abs() < 1e-9);
        assert!((position(0.000_1) - LEFT).abs() < 1e-9);
        assert!((position(100.0) - (WIDTH - RIGHT)).abs() < 1e-9);
        assert!((position(0.1) - position(0.01) - (position(1.0) - position(0.1))).abs() < 1e-9);
    }

    #[test]
    fn a_label_does_not_hide_the_target() {
        assert!((beside(100.0, 300.0) - 106.0).abs() < 1e-9);
        assert!((beside(100.0, 120.0) - 128.0).abs() < 1e-9);
        assert!((beside(100.0, 20.0) - 106.0).abs() < 1e-9);
    }

    #[test]
    fn only_what_was_measured_has_a_bar() {
        let mut results = Results::new(Some("9.9".to_owned()));
        assert!(!svg(&results).contains(&format!("fill=\"{NODE}\"/>\n<text x=\"336")));
        for (subject, cost) in [(Mosquitto, 10.0), (Node, 1.0)] {
            results.add(
                Scenario::S1,
                subject,
                Figures(vec![("cpu_us_per_msg", cost)]),
            );
        }
        let picture = svg(&results);
        assert!(picture.contains(">0.10</text>") && !picture.contains("NaN"));
        assert!(picture.contains("mosquitto 9.9"));
    }
}
