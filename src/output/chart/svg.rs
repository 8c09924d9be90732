//! A picture as SVG, with nothing from elsewhere in it.

use std::fmt::Write as _;

use super::Chart;
use super::scene::{Anchor, Color, HEIGHT, PAPER, Shape, Step, WIDTH, scene};

/// The picture as a page.
#[must_use]
pub fn html(chart: &Chart) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{}</title>\n\
         <style>body{{margin:1rem}}svg{{max-width:100%;height:auto}}</style></head>\n<body>\n{}</body>\n</html>\n",
        escaped(if chart.title.is_empty() {
            "mdb"
        } else {
            &chart.title
        }),
        svg(chart)
    )
}

/// The picture as a document.
#[must_use]
pub fn svg(chart: &Chart) -> String {
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"{}\"/>\n",
        hex(PAPER)
    );
    for shape in scene(chart) {
        element(&shape, &mut text);
    }
    text.push_str("</svg>\n");
    text
}

fn element(shape: &Shape, text: &mut String) {
    // Writing to a String never fails.
    let _ = match shape {
        Shape::Rect {
            x,
            y,
            width,
            height,
            fill,
        } => writeln!(
            text,
            "<rect x=\"{x:.2}\" y=\"{y:.2}\" width=\"{width:.2}\" height=\"{height:.2}\" fill=\"{}\"/>",
            hex(*fill)
        ),
        Shape::Path {
            steps,
            stroke,
            color,
            fill,
        } => {
            let color = hex(*color);
            text.push_str("<path d=\"");
            for step in steps {
                let _ = match step {
                    Step::Move(x, y) => write!(text, "M{x:.2} {y:.2}"),
                    Step::Line(x, y) => write!(text, "L{x:.2} {y:.2}"),
                    Step::Close => write!(text, "Z"),
                };
            }
            let _ = if *fill > 0.0 {
                write!(text, "\" fill=\"{color}\" fill-opacity=\"{fill}\"")
            } else {
                write!(text, "\" fill=\"none\"")
            };
            writeln!(text, " stroke=\"{color}\" stroke-width=\"{stroke}\"/>")
        }
        Shape::Text {
            x,
            y,
            anchor,
            color,
            words,
        } => {
            let anchor = match anchor {
                Anchor::Start => "start",
                Anchor::Middle => "middle",
                Anchor::End => "end",
            };
            writeln!(
                text,
                "<text x=\"{x:.2}\" y=\"{y:.2}\" text-anchor=\"{anchor}\" fill=\"{}\">{}</text>",
                hex(*color),
                escaped(words)
            )
        }
    };
}

fn hex([red, green, blue]: Color) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
