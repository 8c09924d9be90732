//! A picture as PNG, with the letters of a font that is inside mdb.

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};
use tiny_skia::{
    Color as Ink, FillRule, LineJoin, Paint, PathBuilder, Pixmap, PremultipliedColorU8, Rect,
    Stroke, Transform,
};

use super::scene::{Anchor, Color, HEIGHT, PAPER, Shape, Step, WIDTH, scene};
use super::{Chart, Error};

/// Pixels to a unit of the sheet: sharp on screens of today, and in print.
const SCALE: f64 = 2.0;

const FONT: (FontWeight, RasterHeight) = (FontWeight::Regular, RasterHeight::Size32);
/// Of a letter's 32 rows so many are above the line it stands on.
const ASCENT: f64 = 25.0;

/// The picture as a file.
///
/// # Errors
/// [`Error::Png`] if it cannot be written as one.
pub fn png(chart: &Chart) -> Result<Vec<u8>, Error> {
    let size = ((WIDTH * SCALE) as u32, (HEIGHT * SCALE) as u32);
    let mut sheet =
        Pixmap::new(size.0, size.1).ok_or_else(|| Error::Png("it has no area".to_owned()))?;
    sheet.fill(ink(PAPER, 1.0));
    for shape in scene(chart) {
        paint(&shape, &mut sheet);
    }
    sheet
        .encode_png()
        .map_err(|error| Error::Png(error.to_string()))
}

fn paint(shape: &Shape, sheet: &mut Pixmap) {
    let scaled = Transform::from_scale(SCALE as f32, SCALE as f32);
    match shape {
        Shape::Rect {
            x,
            y,
            width,
            height,
            fill,
        } => {
            // One without an area, or beyond all numbers, is not seen.
            if let Some(rect) = Rect::from_xywh(*x as f32, *y as f32, *width as f32, *height as f32)
            {
                sheet.fill_rect(rect, &solid(ink(*fill, 1.0)), scaled, None);
            }
        }
        Shape::Path {
            steps,
            stroke,
            color,
            fill,
        } => {
            let mut path = PathBuilder::new();
            for step in steps {
                match *step {
                    Step::Move(x, y) => path.move_to(x as f32, y as f32),
                    Step::Line(x, y) => path.line_to(x as f32, y as f32),
                    Step::Close => path.close(),
                }
            }
            let Some(path) = path.finish() else {
                return;
            };
            if *fill > 0.0 {
                let paint = solid(ink(*color, *fill as f32));
                sheet.fill_path(&path, &paint, FillRule::Winding, scaled, None);
            }
            let stroke = Stroke {
                width: *stroke as f32,
                // A price that turns at once would else draw a thorn.
                line_join: LineJoin::Round,
                ..Stroke::default()
            };
            sheet.stroke_path(&path, &solid(ink(*color, 1.0)), &stroke, scaled, None);
        }
        Shape::Text {
            x,
            y,
            anchor,
            color,
            words,
        } => {
            let words = in_font(words);
            let letter = get_raster_width(FONT.0, FONT.1) as f64;
            let width = letter * words.chars().count() as f64;
            let before = match anchor {
                Anchor::Start => 0.0,
                Anchor::Middle => width / 2.0,
                Anchor::End => width,
            };
            let (mut left, top) = (x * SCALE - before, y * SCALE - ASCENT);
            for c in words.chars() {
                glyph(c, (left.round() as i64, top.round() as i64), *color, sheet);
                left += letter;
            }
        }
    }
}

/// A text in letters that the font has.
fn in_font(words: &str) -> String {
    let has = |c: char| get_raster(c, FONT.0, FONT.1).is_some();
    let mut text = String::with_capacity(words.len());
    for c in words.chars() {
        match c {
            '–' => text.push('-'),
            '…' => text.push_str("..."),
            c if has(c) => text.push(c),
            _ => text.push('?'),
        }
    }
    text
}

/// Lays a letter over what is there.
fn glyph(c: char, (left, top): (i64, i64), color: Color, sheet: &mut Pixmap) {
    let Some(raster) = get_raster(c, FONT.0, FONT.1) else {
        return;
    };
    let (width, height) = (i64::from(sheet.width()), i64::from(sheet.height()));
    let pixels = sheet.pixels_mut();
    for (row, y) in raster.rows().zip(top..) {
        for (&cover, x) in row.iter().zip(left..) {
            if cover == 0 || !(0..width).contains(&x) || !(0..height).contains(&y) {
                continue;
            }
            let pixel = &mut pixels[(y * width + x) as usize];
            let mixed = |over: u8, under: u8| {
                let cover = u32::from(cover);
                ((u32::from(over) * cover + u32::from(under) * (255 - cover)) / 255) as u8
            };
            let [red, green, blue] = color;
            // The sheet is opaque everywhere.
            if let Some(mixed) = PremultipliedColorU8::from_rgba(
                mixed(red, pixel.red()),
                mixed(green, pixel.green()),
                mixed(blue, pixel.blue()),
                u8::MAX,
            ) {
                *pixel = mixed;
            }
        }
    }
}

fn ink([red, green, blue]: Color, opacity: f32) -> Ink {
    Ink::from_rgba8(red, green, blue, (opacity * 255.0).round() as u8)
}

fn solid(color: Ink) -> Paint<'static> {
    let mut paint = Paint::default();
    paint.set_color(color);
    paint
}
