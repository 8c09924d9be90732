//! A table for people. On a terminal it fits: whole columns are chosen, from the left, and those left out are
//! named; of many rows the first and last are shown, with their points below each other. Piped, it holds everything as
//! it is, laid out page by page.

use std::collections::{HashSet, VecDeque};
use std::iter;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use comfy_table::{
    Attribute, Cell, CellAlignment, ColumnConstraint, ContentArrangement, ContentLineStyle,
    LineStyle, TableStyle, Width,
};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::{Encoder, Error, Layout, Out, text, types};

/// Rows that are laid out together where all are shown. Widths only ever grow from page to page.
const PAGE_ROWS: usize = 4096;

/// A column wider than this is cut when the table is too wide for the terminal.
const WIDE_COLUMN: usize = 32;

/// From here on the digits of a whole number want counting.
const LARGE: u128 = 1_000_000;

const STYLE: TableStyle = TableStyle::new()
    .top_border(LineStyle::new('┌', '─', '┬', '┐'))
    .header_lines(ContentLineStyle::new('│', '│', '│'))
    .header_separator(LineStyle::new('├', '─', '┼', '┤'))
    .content_lines(ContentLineStyle::new('│', '│', '│'))
    .bottom_border(LineStyle::new('└', '─', '┴', '┘'));

/// A row's values as text; NULL is `None`.
type Row = Vec<Option<String>>;

pub(super) struct Table<'w> {
    out: Out<'w>,
    schema: SchemaRef,
    layout: Layout,
    /// Piped: the page. On a terminal: the first rows.
    head: Vec<RecordBatch>,
    head_rows: usize,
    /// On a terminal: the last batches that hold enough rows.
    tail: VecDeque<RecordBatch>,
    tail_rows: usize,
    rows: usize,
    /// Widths of the pages before.
    widths: Vec<usize>,
    started: bool,
    /// Cells that stand out, by row and column.
    marked: HashSet<(usize, usize)>,
}

/// A table that is fitted to its layout, with some cells (row, column) marked: in reverse, or by a `*` without colours.
///
/// # Errors
/// As [`encode`](super::encode).
pub(crate) fn marked_table(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    layout: Layout,
    marked: &HashSet<(usize, usize)>,
) -> Result<String, Error> {
    let mut text = Vec::new();
    let mut table = Table::new(SchemaRef::clone(schema), layout, &mut text);
    table.marked.clone_from(marked);
    for batch in batches {
        table.batch(batch)?;
    }
    table.finish()?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

impl<'w> Table<'w> {
    pub(super) fn new(schema: SchemaRef, layout: Layout, out: Out<'w>) -> Self {
        Self {
            out,
            schema,
            layout,
            head: Vec::new(),
            head_rows: 0,
            tail: VecDeque::new(),
            tail_rows: 0,
            rows: 0,
            widths: Vec::new(),
            started: false,
            marked: HashSet::new(),
        }
    }

    /// Keeps what may be shown of a batch: rows for the head, then the newest rows for the tail.
    fn keep(&mut self, batch: &RecordBatch, limit: usize) {
        let to_head = batch.num_rows().min(limit - self.head_rows.min(limit));
        if to_head > 0 {
            self.head.push(batch.slice(0, to_head));
            self.head_rows += to_head;
        }
        let rest = batch.num_rows() - to_head;
        if rest > 0 {
            self.tail.push_back(batch.slice(to_head, rest));
            self.tail_rows += rest;
        }
        while let Some(oldest) = self.tail.front()
            && self.tail_rows - oldest.num_rows() >= limit
        {
            self.tail_rows -= oldest.num_rows();
            self.tail.pop_front();
        }
    }

    /// Writes one page of a table that is shown whole.
    fn page(&mut self, last: bool) -> Result<(), Error> {
        let rows = self.text(&self.head)?;
        self.head.clear();
        self.head_rows = 0;
        let header = self.header();
        let widths = widths(&header, &rows);
        self.widths.resize(widths.len(), 0);
        for (known, width) in self.widths.iter_mut().zip(widths) {
            *known = width.max(*known);
        }
        let columns: Vec<usize> = (0..header.len()).collect();
        let mut table = self.draw(&header, rows, &columns, &self.widths);
        let mut style = STYLE;
        if self.started {
            style.top_border = LineStyle::none();
            style.header_separator = LineStyle::none();
        }
        if !last {
            style.bottom_border = LineStyle::none();
        }
        table.load_style(style);
        let skip = if self.started { 2 } else { 0 };
        for line in table.lines().skip(skip) {
            writeln!(self.out, "{line}")?;
        }
        self.started = true;
        Ok(())
    }

    /// Writes a table that is fitted to the terminal.
    fn fitted(&mut self, width: usize, limit: usize) -> Result<(), Error> {
        let all = self.rows <= limit;
        let (first, last) = if all {
            (self.head_rows, self.tail_rows)
        } else {
            (limit.div_ceil(2), limit / 2)
        };
        let mut rows = self.text(&first_rows(&self.head, first))?;
        let kept = if last > self.tail_rows {
            // The tail's batches begin where the head's end; a short tail reaches back into the head.
            let both: Vec<RecordBatch> = self.head.iter().chain(&self.tail).cloned().collect();
            last_rows(&both, last)
        } else {
            last_rows(self.tail.make_contiguous(), last)
        };
        rows.extend(self.text(&kept)?);
        let rows_shown = rows.len();
        align_points(&self.schema, &mut rows);
        tell_size(&self.schema, &mut rows);

        if !self.layout.color && !self.marked.is_empty() {
            for (i, row) in rows.iter_mut().enumerate() {
                let number = self.number(i, first, rows_shown);
                for (column, cell) in row.iter_mut().enumerate() {
                    if self.marked.contains(&(number, column)) {
                        let text = cell.take().unwrap_or_else(|| "NULL".to_owned());
                        *cell = Some(format!("{text}*"));
                    }
                }
            }
        }

        let header = self.header();
        let (shown, mut widths) = choose(&widths(&header, &rows), width);
        let note = (!all).then(|| format!("… {} rows", grouped(self.rows - first - last)));
        if let (Some(note), Some(column)) = (&note, widths.len().checked_sub(1)) {
            // A narrow table is widened to hold the note.
            let inner = (note.width() + 4).min(width).saturating_sub(4);
            widths[column] += inner.saturating_sub(widths.iter().sum::<usize>() + 3 * column);
        }
        // Of the columns, not of the lines: in those, colours count.
        let inner = widths.iter().sum::<usize>() + 3 * widths.len().saturating_sub(1);
        let table = self.draw(&header, rows, &shown, &widths);
        // Two lines of header between two borders, then every row on one line.
        for (i, line) in table.lines().enumerate() {
            if let Some(note) = note.as_ref().filter(|_| i == 4 + first) {
                let note = cut(note, inner);
                writeln!(self.out, "│ {note}{} │", " ".repeat(inner - note.width()))?;
            }
            writeln!(self.out, "{line}")?;
        }
        self.footer(&header, &shown, first + last, width)
    }

    /// The number in the whole result of the `i`th of the rows `shown`, of which the first come from its beginning.
    fn number(&self, i: usize, first: usize, shown: usize) -> usize {
        if i < first || shown >= self.rows {
            i
        } else {
            self.rows - shown + i
        }
    }

    /// Says in one line what there is, and what of it is not shown.
    fn footer(
        &mut self,
        header: &[(String, String)],
        shown: &[usize],
        shown_rows: usize,
        width: usize,
    ) -> Result<(), Error> {
        let plural = if self.rows == 1 { "" } else { "s" };
        let mut line = format!("{} row{plural}", grouped(self.rows));
        if shown_rows < self.rows {
            line = format!("{line}, {shown_rows} shown");
        }
        let hidden = header
            .iter()
            .enumerate()
            .filter(|(i, _)| !shown.contains(i));
        let hidden: Vec<&str> = hidden.map(|(_, (name, _))| name.as_str()).collect();
        if !hidden.is_empty() {
            line = format!(
                "{line}; {} of {} columns not shown",
                hidden.len(),
                header.len()
            );
            let names = listed(&hidden, width.saturating_sub(line.width() + 2));
            if !names.is_empty() {
                line = format!("{line}: {names}");
            }
        }
        writeln!(self.out, "{}", cut(&line, width))?;
        Ok(())
    }

    /// Names and types.
    fn header(&self) -> Vec<(String, String)> {
        let fields = self.schema.fields().iter();
        fields
            .map(|field| {
                (
                    printable(field.name().as_bytes()),
                    printable(types::type_name(field).as_bytes()),
                )
            })
            .collect()
    }

    fn text(&self, batches: &[RecordBatch]) -> Result<Vec<Row>, Error> {
        let mut rows = Vec::new();
        let mut text = Vec::new();
        for batch in batches {
            let columns = super::cells(&self.schema, batch, text::text)?;
            for row in 0..batch.num_rows() {
                let cells = columns.iter().map(|cells| {
                    text.clear();
                    (!cells.is_null(row)).then(|| {
                        cells.write(row, &mut text);
                        printable(&text)
                    })
                });
                rows.push(cells.collect());
            }
        }
        Ok(rows)
    }

    fn draw(
        &self,
        header: &[(String, String)],
        rows: Vec<Row>,
        columns: &[usize],
        widths: &[usize],
    ) -> comfy_table::Table {
        let mut table = comfy_table::Table::new();
        table
            .force_no_tty()
            .load_style(STYLE)
            .set_content_arrangement(ContentArrangement::Disabled);
        if self.layout.color {
            table.enforce_styling();
        }
        let alignment = |column: usize| {
            if types::is_number(self.schema.field(column)) {
                CellAlignment::Right
            } else {
                CellAlignment::Left
            }
        };
        table.set_header(columns.iter().zip(widths).map(|(&column, &width)| {
            let (name, kind) = &header[column];
            Cell::new_owned(format!("{}\n{}", cut(name, width), cut(kind, width)))
                .set_alignment(alignment(column))
        }));
        let shown = rows.len();
        for (i, row) in rows.into_iter().enumerate() {
            let number = self.number(i, shown.div_ceil(2), shown);
            table.add_row(columns.iter().zip(widths).map(|(&column, &width)| {
                let cell = match &row[column] {
                    Some(text) => Cell::new_owned(cut(text, width)),
                    None => Cell::new("NULL").add_attribute(Attribute::Dim),
                };
                let cell = if self.layout.color && self.marked.contains(&(number, column)) {
                    cell.add_attribute(Attribute::Reverse)
                } else {
                    cell
                };
                cell.set_alignment(alignment(column))
            }));
        }
        for (i, &width) in widths.iter().enumerate() {
            if let Some(column) = table.column_mut(i) {
                let padding = column.padding_width();
                let width = u16::try_from(width).unwrap_or(u16::MAX - padding) + padding;
                column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(width)));
            }
        }
        table
    }

    /// EXPLAIN answers with a drawing, which is shown as it is.
    fn is_plan(&self) -> bool {
        let names: Vec<&str> = self
            .schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        names == ["explain_key", "explain_value"]
    }
}

impl Encoder for Table<'_> {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        self.rows += batch.num_rows();
        if self.is_plan() {
            let columns = super::cells(&self.schema, batch, text::text)?;
            let mut text = Vec::new();
            for row in 0..batch.num_rows() {
                columns[1].write(row, &mut text);
                text.push(b'\n');
            }
            self.out.write_all(&text)?;
            return Ok(());
        }
        match (self.layout.width, self.layout.rows) {
            (None, None) => {
                self.head.push(batch.clone());
                self.head_rows += batch.num_rows();
                if self.head_rows >= PAGE_ROWS {
                    self.page(false)
                } else {
                    Ok(())
                }
            }
            (_, limit) => {
                self.keep(batch, limit.unwrap_or(usize::MAX));
                Ok(())
            }
        }
    }

    fn finish(&mut self) -> Result<(), Error> {
        match (self.layout.width, self.layout.rows) {
            _ if self.is_plan() => Ok(()),
            (None, None) => self.page(true),
            (width, limit) => self.fitted(width.unwrap_or(usize::MAX), limit.unwrap_or(usize::MAX)),
        }
    }
}

/// Gives the fractions of a column one width, so that points stand below each other. A column with exponents stays as
/// it is; decimals have one width already.
fn align_points(schema: &Schema, rows: &mut [Row]) {
    for (column, field) in schema.fields().iter().enumerate() {
        let values = || rows.iter().filter_map(|row| row[column].as_deref());
        if !field.data_type().is_floating() || values().any(|text| text.contains('e')) {
            continue;
        }
        let longest = values().filter_map(fraction_digits).max().unwrap_or(0);
        for text in rows.iter_mut().filter_map(|row| row[column].as_mut()) {
            if let Some(digits) = fraction_digits(text) {
                text.extend(iter::repeat_n('0', longest - digits));
            }
        }
    }
}

fn fraction_digits(number: &str) -> Option<usize> {
    number.split_once('.').map(|(_, digits)| digits.len())
}

/// Writes beside a large whole number that is the whole result how much that is: `244000000 (244 M)`.
fn tell_size(schema: &Schema, rows: &mut [Row]) {
    if let [row] = rows
        && let [Some(text)] = row.as_mut_slice()
        && types::is_number(schema.field(0))
        && let Ok(number) = text.parse::<u128>()
        && number >= LARGE
    {
        *text = format!("{text} ({})", rounded(number as f64));
    }
}

fn widths(header: &[(String, String)], rows: &[Row]) -> Vec<usize> {
    let mut widths: Vec<usize> = header
        .iter()
        .map(|(name, kind)| name.width().max(kind.width()))
        .collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.as_ref().map_or(4, |text| text.width()).max(*width);
        }
    }
    widths
}

/// Which columns of these widths fit into `total`, and how wide each is then. The first is shown in any case.
fn choose(natural: &[usize], total: usize) -> (Vec<usize>, Vec<usize>) {
    let cost = |widths: &[usize]| {
        widths.iter().fold(1_usize, |sum, width| {
            sum.saturating_add(width.saturating_add(3))
        })
    };
    if cost(natural) <= total {
        return ((0..natural.len()).collect(), natural.to_vec());
    }
    let mut widths: Vec<usize> = natural
        .iter()
        .map(|&width| width.min(WIDE_COLUMN))
        .collect();
    while widths.len() > 1 && cost(&widths) > total {
        widths.pop();
    }
    if let [only] = widths.as_mut_slice() {
        *only = natural[0].min(total.saturating_sub(4)).max(1);
    }
    // What is left goes to the columns that were cut, from the left.
    let mut spare = total.saturating_sub(cost(&widths));
    for (width, natural) in widths.iter_mut().zip(natural) {
        let more = (natural - *width).min(spare);
        *width += more;
        spare -= more;
    }
    ((0..widths.len()).collect(), widths)
}

/// As many of the names as fit into `width`, and how many more there are; nothing if not even one does.
fn listed(names: &[&str], width: usize) -> String {
    let all = names.join(", ");
    if all.width() <= width {
        return all;
    }
    let mut text = String::new();
    let mut fitting = String::new();
    for (i, name) in names.iter().enumerate() {
        text = format!("{text}{name}, ");
        if text.width() > width {
            break;
        }
        let cut_here = format!("{text}… and {} more", names.len() - i - 1);
        if cut_here.width() <= width {
            fitting = cut_here;
        }
    }
    fitting
}

fn first_rows(batches: &[RecordBatch], mut count: usize) -> Vec<RecordBatch> {
    let mut rows = Vec::new();
    for batch in batches {
        let taken = batch.num_rows().min(count);
        rows.push(batch.slice(0, taken));
        count -= taken;
    }
    rows
}

fn last_rows(batches: &[RecordBatch], mut count: usize) -> Vec<RecordBatch> {
    let mut rows = Vec::new();
    for batch in batches.iter().rev() {
        let taken = batch.num_rows().min(count);
        rows.push(batch.slice(batch.num_rows() - taken, taken));
        count -= taken;
    }
    rows.reverse();
    rows
}

/// Text that cannot move the cursor: control characters and others that are not seen as escapes, invalid UTF-8 as replacement
/// characters.
pub(crate) fn printable(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    if !text.chars().any(is_unseen) {
        return text.into_owned();
    }
    let mut clean = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_unseen(c) {
            clean.extend(c.escape_default());
        } else {
            clean.push(c);
        }
    }
    clean
}

/// Whether a sign is a control character, has no width and joins nothing, or turns the direction of what follows, beyond its
/// own cell.
fn is_unseen(c: char) -> bool {
    const NO_WIDTH: [char; 5] = ['\u{200b}', '\u{200e}', '\u{200f}', '\u{2060}', '\u{feff}'];
    c.is_control()
        || NO_WIDTH.contains(&c)
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// At most `width` columns of `text`, with `…` for what is missing.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.len() <= width || text.width() <= width {
        return text.to_owned();
    }
    let mut used = 1;
    let kept = text.chars().take_while(|c| {
        used += c.width().unwrap_or(0);
        used <= width
    });
    kept.chain(['…']).collect()
}

/// A number with three digits at most: `244 M`.
pub(crate) fn rounded(number: f64) -> String {
    let (number, unit) = match number {
        1e9.. => (number / 1e9, " G"),
        1e6.. => (number / 1e6, " M"),
        1e3.. => (number / 1e3, " k"),
        _ => (number, ""),
    };
    let decimals = usize::from(number < 100.0 && !unit.is_empty());
    format!("{number:.decimals$}{unit}")
}

/// A count with its thousands apart.
pub(crate) fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
