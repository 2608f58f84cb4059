//! Parquet files: what is read of whole ones, and that damaged ones cost neither memory nor a
//! panic.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parquet::basic::{Compression, Encoding, GzipLevel, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use promot_data::record::Record;
use promot_data::source::{DataError, FileFormat, FileSource, Mapping, Source, SplitFiles, load};
use promot_data::split::Split;
use promot_data::task::find_task;

/// The system's allocator, which remembers the largest request.
struct Watched;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Watched = Watched;

// SAFETY: all requests go to the system's allocator as they are.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LARGEST.fetch_max(size, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(memory, layout) }
    }
}

const SCHEMA: &str = "message rows {
  REQUIRED BYTE_ARRAY premise (UTF8);
  OPTIONAL BYTE_ARRAY sentence2 (UTF8);
  OPTIONAL INT64 gold;
  OPTIONAL GROUP answers {
    OPTIONAL GROUP text (LIST) { REPEATED GROUP list { OPTIONAL BYTE_ARRAY element (UTF8); } }
  }
  OPTIONAL GROUP translation {
    OPTIONAL BYTE_ARRAY en (UTF8);
    OPTIONAL BYTE_ARRAY fr;
  }
}";

const ROWS: usize = 12;

/// What reading a file of a few KiB may ask for at once.
const MOST: usize = 128 << 20;

fn plain() -> WriterProperties {
    let properties = WriterProperties::builder().set_dictionary_enabled(false);
    properties
        .set_compression(Compression::UNCOMPRESSED)
        .build()
}

/// A file of [`ROWS`] rows in two groups.
fn file(properties: WriterProperties) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(SCHEMA).unwrap());
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties)).unwrap();
    for group in 0..2 {
        let rows = ROWS / 2;
        let mut columns = writer.next_row_group().unwrap();
        let texts = |name: &str| -> Vec<ByteArray> {
            let rows = group * rows..(group + 1) * rows;
            rows.map(|row| format!("{name} {}", row % 5).as_str().into())
                .collect()
        };
        // A definition level is how many of the optional levels are there.
        for (name, defined) in [("premise", 0), ("hypothesis", 1)] {
            let mut column = columns.next_column().unwrap().unwrap();
            let levels = vec![defined; rows];
            let typed = column.typed::<ByteArrayType>();
            typed
                .write_batch(&texts(name), Some(&levels), None)
                .unwrap();
            column.close().unwrap();
        }
        let mut column = columns.next_column().unwrap().unwrap();
        let labels: Vec<i64> = (0..rows as i64).map(|row| row % 2).collect();
        let levels = vec![1; rows];
        column
            .typed::<Int64Type>()
            .write_batch(&labels, Some(&levels), None)
            .unwrap();
        column.close().unwrap();
        // Two answers a row.
        let mut column = columns.next_column().unwrap().unwrap();
        let answers: Vec<ByteArray> = texts("answer").into_iter().chain(texts("alias")).collect();
        let repeated: Vec<i16> = (0..2 * rows).map(|i| (i % 2) as i16).collect();
        let levels = vec![4; 2 * rows];
        let typed = column.typed::<ByteArrayType>();
        typed
            .write_batch(&answers, Some(&levels), Some(&repeated))
            .unwrap();
        column.close().unwrap();
        for name in ["english", "french"] {
            let mut column = columns.next_column().unwrap().unwrap();
            let levels = vec![2; rows];
            let typed = column.typed::<ByteArrayType>();
            typed
                .write_batch(&texts(name), Some(&levels), None)
                .unwrap();
            column.close().unwrap();
        }
        columns.close().unwrap();
    }
    writer.close().unwrap();
    bytes
}

fn mapping(columns: &[(&str, &str)]) -> Mapping {
    let mut mapping = Mapping::default();
    for (field, column) in columns {
        mapping
            .columns
            .insert((*field).to_owned(), (*column).to_owned());
    }
    mapping
}

/// Columns that make the file one of three tasks, with nested columns and lists.
fn uses() -> [(&'static str, Mapping); 3] {
    let mut rte = mapping(&[("hypothesis", "sentence2"), ("label", "gold")]);
    let meanings = [("0", "entailment"), ("1", "not_entailment")];
    let meanings = meanings.map(|(value, meaning)| (value.to_owned(), meaning.to_owned()));
    rte.values.insert("label".to_owned(), meanings.into());
    [
        ("rte", rte),
        (
            "triviaqa",
            mapping(&[("question", "premise"), ("answers", "answers.text")]),
        ),
        (
            "wmt14_en_fr",
            mapping(&[("source", "translation.en"), ("target", "translation.fr")]),
        ),
    ]
}

fn read(path: &Path, task: &str, mapping: &Mapping) -> Result<Vec<Record>, DataError> {
    let source = Source::Files(FileSource {
        format: FileFormat::Parquet,
        files: SplitFiles {
            train: vec![path.to_owned()],
            ..SplitFiles::default()
        },
        mapping: mapping.clone(),
    });
    load(&*find_task(task).unwrap(), &source, Split::Train, None)
}

fn read_bytes(bytes: &[u8], task: &str, mapping: &Mapping) -> Result<Vec<Record>, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows.parquet");
    std::fs::write(&path, bytes).unwrap();
    read(&path, task, mapping).map_err(|error| {
        let place = directory.path().display().to_string() + "/";
        let hint = error
            .hint()
            .map_or(String::new(), |hint| format!(" ({hint})"));
        error.to_string().replace(&place, "") + &hint
    })
}

/// Files as different writers make them.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let builder = WriterProperties::builder;
    let compressed = |compression| builder().set_compression(compression).build();
    let v2 = builder().set_writer_version(WriterVersion::PARQUET_2_0);
    let delta = builder()
        .set_dictionary_enabled(false)
        .set_encoding(Encoding::DELTA_LENGTH_BYTE_ARRAY)
        .set_column_encoding("gold".into(), Encoding::DELTA_BINARY_PACKED);
    vec![
        ("plain", file(plain())),
        ("snappy", file(compressed(Compression::SNAPPY))),
        (
            "gzip",
            file(compressed(Compression::GZIP(GzipLevel::default()))),
        ),
        (
            "zstd",
            file(compressed(Compression::ZSTD(ZstdLevel::default()))),
        ),
        ("delta", file(delta.build())),
        (
            "version 2",
            file(v2.set_compression(Compression::SNAPPY).build()),
        ),
    ]
}

#[test]
fn rows_are_read_whatever_the_compression_and_encoding() {
    for (name, bytes) in files() {
        let [rte, trivia, wmt] = uses().map(|(task, mapping)| {
            read_bytes(&bytes, task, &mapping).unwrap_or_else(|error| panic!("{name}: {error}"))
        });
        assert_eq!(rte.len(), ROWS);
        assert_eq!(rte[7].id, "rows.parquet:8");
        assert_eq!(rte[7].text("premise").unwrap(), "premise 2");
        assert_eq!(rte[7].text("hypothesis").unwrap(), "hypothesis 2");
        assert_eq!(rte[7].text("label").unwrap(), "not_entailment");
        assert_eq!(
            trivia[0].texts("answers").unwrap(),
            ["answer 0", "answer 1"]
        );
        // Bytes that are not marked as text.
        assert_eq!(wmt[11].text("target").unwrap(), "french 1");
    }
}

#[test]
fn fields_that_cannot_be_used_are_named_with_their_row() {
    let bytes = file(plain());
    let error = read_bytes(&bytes, "rte", &mapping(&[("hypothesis", "sentence1")])).unwrap_err();
    assert_eq!(
        error,
        "rows.parquet: field \"hypothesis\": there is no column \"sentence1\" (there is a column \
         \"sentence2\")"
    );
    let error = read_bytes(&bytes, "wmt14_en_fr", &mapping(&[("source", "premise")])).unwrap_err();
    assert_eq!(
        error,
        "rows.parquet: field \"target\" is missing (its columns are premise, sentence2, gold, answers, \
         answers.text, translation, translation.en, translation.fr)"
    );
    let columns = [("hypothesis", "sentence2"), ("label", "gold")];
    let error = read_bytes(&bytes, "rte", &mapping(&columns)).unwrap_err();
    assert_eq!(
        error,
        "rows.parquet: row 1: field \"label\": expected text, found 0"
    );
    let columns = [("source", "premise"), ("target", "translation.de")];
    let error = read_bytes(&bytes, "wmt14_en_fr", &mapping(&columns)).unwrap_err();
    assert_eq!(
        error,
        "rows.parquet: row 1: field \"target\": there is no column \"translation.de\" (there is a \
         column \"translation.en\")"
    );
}

#[test]
fn a_text_that_is_not_utf_8_is_said_to_be_none() {
    let mut bytes = file(plain());
    let text = b"hypothesis 3";
    let at = bytes.windows(text.len()).position(|window| window == text);
    bytes[at.unwrap() + 4] = 0xff;
    let (task, mapping) = &uses()[0];
    let error = read_bytes(&bytes, task, mapping).unwrap_err();
    let hint = "is it a whole Parquet file? fetch it or write it again";
    assert_eq!(
        error,
        format!("rows.parquet: row 4: a text is not valid UTF-8 ({hint})")
    );
}

#[test]
fn what_is_no_whole_file_is_said() {
    let whole = file(plain());
    let (task, mapping) = &uses()[0];
    let cut = |end: usize| whole[..end].to_vec();
    let footer = |length: u32| {
        let mut bytes = whole.clone();
        let at = bytes.len() - 8;
        bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
        bytes
    };
    for (bytes, problem) in [
        (cut(0), "the file is empty".to_owned()),
        (
            b"premise,label\n".to_vec(),
            "it does not start as a Parquet file does".to_owned(),
        ),
        (cut(4), "the file ends too early".to_owned()),
        (
            cut(whole.len() / 2),
            "it does not end as a Parquet file does".to_owned(),
        ),
        (
            cut(whole.len() - 1),
            "it does not end as a Parquet file does".to_owned(),
        ),
        (
            footer(u32::MAX),
            format!(
                "the footer is said to have 4294967295 bytes, the file has {}",
                whole.len()
            ),
        ),
        (footer(40), "the footer is not whole".to_owned()),
    ] {
        let error = read_bytes(&bytes, task, mapping).unwrap_err();
        let hint = " (is it a whole Parquet file? fetch it or write it again)";
        assert_eq!(
            error,
            format!("rows.parquet: cannot be read: {problem}{hint}")
        );
    }
}

/// Bytes all over every file, and many lengths: rows or an error, never a panic, never much memory.
#[test]
fn damaged_files_cost_neither_memory_nor_a_panic() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows.parquet");
    let uses = uses();
    let (mut variants, mut errors) = (0, 0);
    let mut check = |name: &str, bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let (task, mapping) = &uses[variants % uses.len()];
        LARGEST.store(0, Ordering::Relaxed);
        let outcome = read(&path, task, mapping);
        let largest = LARGEST.load(Ordering::Relaxed);
        assert!(largest < MOST, "{name}: {largest} bytes: {outcome:?}");
        variants += 1;
        if let Err(error) = outcome {
            assert!(error.to_string().len() < 600, "{name}: {error}");
            errors += 1;
        }
    };
    for (start, (name, bytes)) in files().into_iter().enumerate() {
        for end in (0..bytes.len()).step_by(47) {
            check(name, &bytes[..end]);
        }
        let mut damaged = bytes.clone();
        for at in (start..bytes.len()).step_by(6) {
            damaged[at] = bytes[at] ^ [0xff, 0x01, 0x40, 0x80, 0x0f][at % 5];
            check(name, &damaged);
            damaged[at] = bytes[at];
        }
    }
    assert!(
        variants > 3000 && errors > variants / 4,
        "{errors} of {variants}"
    );
}

/// Numbers that the library makes buffers by, as large as they can be.
#[test]
fn lies_about_sizes_are_found_before_anything_is_allocated_by_them() {
    // The largest numbers of 32 bits, and the smallest, as the format writes them.
    let lies: [&[u8]; 2] = [
        &[0xfe, 0xff, 0xff, 0xff, 0x0f],
        &[0xff, 0xff, 0xff, 0xff, 0x0f],
    ];
    let (task, mapping) = &uses()[0];
    let whole = file(WriterProperties::builder().build());
    let mut found = 0;
    for at in 4..whole.len() - 8 {
        for lie in lies {
            // A byte becomes five: lengths that come later stay right, offsets do not.
            let mut bytes = [&whole[..at], lie, &whole[at + 1..]].concat();
            let end = bytes.len() - 8;
            let footer = u32::from_le_bytes(whole[whole.len() - 8..][..4].try_into().unwrap());
            if at > whole.len() - 8 - footer as usize {
                bytes[end..end + 4].copy_from_slice(&(footer + 4).to_le_bytes());
            }
            LARGEST.store(0, Ordering::Relaxed);
            found += usize::from(read_bytes(&bytes, task, mapping).is_err());
            let largest = LARGEST.load(Ordering::Relaxed);
            assert!(largest < MOST, "byte {at}: {largest} bytes");
        }
    }
    assert!(found > whole.len(), "{found}");
}
