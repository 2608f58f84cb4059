//! Looks at the sizes that a Parquet file states before the library allocates by them.
//!
//! The library believes some numbers: how many children a column has, how large a page becomes,
//! how many entries a dictionary has. A damaged file can say two thousand million of each.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};

use parquet::basic::{Encoding, Type as PhysicalType};
use parquet::bloom_filter::Sbbf;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::RowGroupReader;
use parquet::record::reader::RowIter;
use parquet::schema::types::{ColumnDescPtr, Type};

use super::compact::{Found, walk};
use crate::source::MAX_ROW_BYTES;

/// First and last bytes of a file.
const MAGIC: &[u8; 4] = b"PAR1";
/// Footers of files with thousands of columns and row groups have a few MiB.
const MAX_FOOTER_BYTES: u64 = 64 << 20;
/// Columns in columns; lists take two levels each.
const MAX_COLUMN_DEPTH: usize = 32;
/// Bytes of a page's header: enough for the smallest and largest value of a column of texts.
const MAX_HEADER_BYTES: u64 = 1 << 20;
/// What is tried first: most headers are shorter.
const USUAL_HEADER_BYTES: u64 = 1 << 9;

fn wrong(problem: impl Into<String>) -> ParquetError {
    ParquetError::General(problem.into())
}

/// Checks that the file ends in a footer whose columns are a tree.
pub(super) fn check_footer(file: &File) -> Result<()> {
    let length = file.metadata()?.len();
    if length == 0 {
        return Err(wrong("the file is empty"));
    }
    let start = bytes_at(file, 0, length.min(4))?;
    if start != MAGIC {
        return Err(wrong("it does not start as a Parquet file does"));
    }
    if length < 12 {
        return Err(wrong("the file ends too early"));
    }
    let end = bytes_at(file, length - 8, 8)?;
    if &end[4..] != MAGIC {
        return Err(wrong("it does not end as a Parquet file does"));
    }
    let footer = u64::from(u32::from_le_bytes([end[0], end[1], end[2], end[3]]));
    if footer > length - 12 {
        return Err(wrong(format!(
            "the footer is said to have {footer} bytes, the file has {length}"
        )));
    }
    if footer > MAX_FOOTER_BYTES {
        return Err(wrong("a footer of more than 64 MiB"));
    }
    let bytes = bytes_at(file, length - 8 - footer, footer)?;
    let mut children: Vec<i64> = Vec::new();
    let walked = walk(&bytes, &mut |path, found| match (path, found) {
        // The list of columns, and how many of those that follow are inside one.
        ([2], Found::Entry) => children.push(0),
        ([2, 5], Found::Number(number)) => {
            if let Some(last) = children.last_mut() {
                *last = number;
            }
        }
        _ => {}
    });
    if walked.is_none() {
        return Err(wrong("the footer is not whole"));
    }
    check_tree(&children)
}

/// Columns in the order of the file, by how many children each has.
fn check_tree(children: &[i64]) -> Result<()> {
    let mut open: Vec<i64> = Vec::new();
    for (i, &number) in children.iter().enumerate() {
        if !(0..=(children.len() - i) as i64).contains(&number) {
            return Err(wrong(format!("a column is said to have {number} parts")));
        }
        while open.last() == Some(&0) {
            open.pop();
        }
        if let Some(left) = open.last_mut() {
            *left -= 1;
        }
        if number > 0 {
            open.push(number);
        }
        if open.len() > MAX_COLUMN_DEPTH {
            return Err(wrong("columns are nested too deeply"));
        }
    }
    Ok(())
}

/// Checks the headers of the pages between two places of the file.
fn check_pages(file: &File, start: u64, length: u64) -> Result<()> {
    let end = start.checked_add(length);
    let end = end.filter(|&end| file.metadata().is_ok_and(|data| end <= data.len()));
    let Some(end) = end else {
        return Err(wrong("a column is said to lie outside the file"));
    };
    let mut at = start;
    while at < end {
        let mut sizes = [0; 2];
        let mut header = None;
        for most in [USUAL_HEADER_BYTES, MAX_HEADER_BYTES] {
            let bytes = bytes_at(file, at, most.min(end - at))?;
            header = walk(&bytes, &mut |path, found| match (path, found) {
                ([2], Found::Number(size)) => sizes[0] = size,
                ([3], Found::Number(size)) => sizes[1] = size,
                _ => {}
            });
            if header.is_some() {
                break;
            }
        }
        let Some(header) = header else {
            return Err(wrong("the header of a page is not whole"));
        };
        let body = at + header as u64;
        let [unpacked, packed] = sizes;
        if !(0..=MAX_ROW_BYTES as i64).contains(&unpacked) {
            return Err(wrong(format!("a page is said to have {unpacked} bytes")));
        }
        if !u64::try_from(packed).is_ok_and(|packed| packed <= end - body) {
            return Err(wrong("a page is said to be longer than its column"));
        }
        at = body + packed as u64;
    }
    Ok(())
}

fn bytes_at(mut file: &File, at: u64, length: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(at))?;
    file.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == length {
        Ok(bytes)
    } else {
        Err(wrong("the file ends too early"))
    }
}

/// A row group whose pages are checked before the library unpacks and decodes them.
pub(super) struct GuardedGroup<'a> {
    group: &'a dyn RowGroupReader,
    file: &'a File,
}

impl<'a> GuardedGroup<'a> {
    /// The same group of `file`.
    pub(super) fn new(group: &'a dyn RowGroupReader, file: &'a File) -> Self {
        Self { group, file }
    }
}

impl RowGroupReader for GuardedGroup<'_> {
    fn metadata(&self) -> &RowGroupMetaData {
        self.group.metadata()
    }

    fn num_columns(&self) -> usize {
        self.group.num_columns()
    }

    fn get_column_page_reader(&self, i: usize) -> Result<Box<dyn PageReader>> {
        let column = self.metadata().column(i);
        let (values, rows) = (column.num_values(), self.metadata().num_rows());
        if column.column_descr().max_rep_level() == 0 && values != rows {
            return Err(wrong(format!(
                "a column is said to have {values} values in {rows} rows"
            )));
        }
        let (start, length) = column.byte_range();
        check_pages(self.file, start, length)?;
        Ok(Box::new(GuardedPages {
            pages: self.group.get_column_page_reader(i)?,
            column: column.column_descr_ptr(),
        }))
    }

    fn get_column_bloom_filter(&self, i: usize) -> Option<&Sbbf> {
        self.group.get_column_bloom_filter(i)
    }

    fn get_row_iter(&self, projection: Option<Type>) -> Result<RowIter<'_>> {
        RowIter::from_row_group(projection, self)
    }
}

struct GuardedPages {
    pages: Box<dyn PageReader>,
    column: ColumnDescPtr,
}

impl GuardedPages {
    /// Counts that buffers are made by must fit the bytes that there are.
    fn check(&self, page: &Page) -> Result<()> {
        let (least, counted) = match page {
            Page::DictionaryPage { num_values, .. } => {
                // The length of a text has four bytes.
                let is_text = self.column.physical_type() == PhysicalType::BYTE_ARRAY;
                (if is_text { 4 } else { 1 }, *num_values as u64)
            }
            _ => match page.encoding() {
                Encoding::DELTA_BYTE_ARRAY => {
                    let problem = "the encoding DELTA_BYTE_ARRAY is not read";
                    return Err(wrong(problem));
                }
                Encoding::DELTA_LENGTH_BYTE_ARRAY => {
                    let lengths = self.values(page).and_then(count_of_lengths);
                    let lengths = lengths.ok_or_else(|| wrong("a page ends too early"))?;
                    if lengths > u64::from(page.num_values()) {
                        return Err(wrong("a page has more lengths than values"));
                    }
                    return Ok(());
                }
                _ => return Ok(()),
            },
        };
        if counted.saturating_mul(least) > page.buffer().len() as u64 {
            return Err(wrong(format!(
                "a dictionary is said to have {counted} entries"
            )));
        }
        Ok(())
    }

    /// The part of a data page behind the levels of nested and missing values.
    fn values<'p>(&self, page: &'p Page) -> Option<&'p [u8]> {
        let bytes = page.buffer();
        match page {
            Page::DataPageV2 {
                def_levels_byte_len,
                rep_levels_byte_len,
                ..
            } => bytes
                .get((*def_levels_byte_len as usize).checked_add(*rep_levels_byte_len as usize)?..),
            _ => {
                let mut rest: &[u8] = bytes;
                for level in [self.column.max_rep_level(), self.column.max_def_level()] {
                    if level > 0 {
                        let length = u32::from_le_bytes(*rest.first_chunk()?);
                        rest = rest.get(4..)?.get(length as usize..)?;
                    }
                }
                Some(rest)
            }
        }
    }
}

/// The third number at the start of delta-packed integers says how many there are.
fn count_of_lengths(bytes: &[u8]) -> Option<u64> {
    let mut rest = bytes.iter();
    let mut number = || {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = *rest.next()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    };
    number()?;
    number()?;
    number()
}

impl PageReader for GuardedPages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.pages.get_next_page()?;
        if let Some(page) = &page {
            self.check(page)?;
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }
}

impl Iterator for GuardedPages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}
