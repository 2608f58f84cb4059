//! Safetensors in and out: f32, bf16 and f16 on disk, f32 in memory.

use std::collections::BTreeMap;

use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::CheckpointError;

/// Values and dimensions by name.
pub type NamedTensors = BTreeMap<String, (Vec<f32>, Vec<usize>)>;

/// Reads all tensors of a safetensors file.
///
/// The header is checked against the length of `bytes` before anything is allocated, so a header
/// that lies cannot ask for more memory than a small multiple of the file's size.
///
/// # Errors
/// If the bytes are no safetensors file, or hold a type other than f32, bf16 or f16.
pub fn parse_tensors(bytes: &[u8]) -> Result<NamedTensors, CheckpointError> {
    let file = SafeTensors::deserialize(bytes)
        .map_err(|error| CheckpointError::Safetensors(error.to_string()))?;
    let mut tensors = NamedTensors::new();
    for (name, view) in file.iter() {
        let data = view.data();
        let values = match view.dtype() {
            Dtype::F32 => decode(data, |b: [u8; 4]| f32::from_le_bytes(b)),
            Dtype::BF16 => decode(data, |b: [u8; 2]| bf16::from_le_bytes(b).to_f32()),
            Dtype::F16 => decode(data, |b: [u8; 2]| f16::from_le_bytes(b).to_f32()),
            other => {
                return Err(CheckpointError::Dtype {
                    name: name.to_owned(),
                    dtype: format!("{other:?}"),
                });
            }
        };
        tensors.insert(name.to_owned(), (values, view.shape().to_vec()));
    }
    Ok(tensors)
}

/// Reads all tensors of a file that a model or an adapter is made of.
///
/// # Errors
/// As [`parse_tensors`], and if a value is NaN or infinite: everything computed from it would be, too,
/// and be scored like any other answer.
pub(super) fn parse_weights(bytes: &[u8]) -> Result<NamedTensors, CheckpointError> {
    let tensors = parse_tensors(bytes)?;
    for (name, (values, _)) in &tensors {
        let count = values.iter().filter(|value| !value.is_finite()).count();
        if count > 0 {
            return Err(CheckpointError::NotFinite {
                name: name.clone(),
                count,
                of: values.len(),
            });
        }
    }
    Ok(tensors)
}

fn decode<const N: usize>(data: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let (values, rest) = data.as_chunks::<N>();
    debug_assert!(rest.is_empty(), "the header's sizes were checked");
    values.iter().map(|&bytes| value(bytes)).collect()
}

/// Writes tensors as little-endian f32: what is read back has the same bits.
///
/// # Errors
/// If a tensor's dimensions do not match its values.
pub fn serialize_f32(tensors: &NamedTensors) -> Result<Vec<u8>, CheckpointError> {
    serialize_f32_with_note(tensors, "")
}

/// The same with a text in the file's metadata, for [`read_note`].
pub(crate) fn serialize_f32_with_note(
    tensors: &NamedTensors,
    note: &str,
) -> Result<Vec<u8>, CheckpointError> {
    serialize(tensors, Dtype::F32, note, |values| {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    })
}

/// The text that [`serialize_f32_with_note`] put into the metadata.
pub(crate) fn read_note(bytes: &[u8]) -> Result<String, CheckpointError> {
    let (_, metadata) = SafeTensors::read_metadata(bytes)
        .map_err(|error| CheckpointError::Safetensors(error.to_string()))?;
    let format = metadata
        .metadata()
        .as_ref()
        .and_then(|entries| entries.get(FORMAT));
    let note = format.and_then(|format| format.strip_prefix(NOTE_PREFIX));
    note.map(str::to_owned)
        .ok_or_else(|| CheckpointError::Safetensors("no progress in its metadata".to_owned()))
}

/// The metadata key that transformers asks for; with one key only, the bytes are always the same.
const FORMAT: &str = "format";
const NOTE_PREFIX: &str = "pt;";

/// Writes tensors as bf16, rounded to nearest even.
pub(super) fn serialize_bf16(tensors: &NamedTensors) -> Result<Vec<u8>, CheckpointError> {
    serialize(tensors, Dtype::BF16, "", |values| {
        let narrow = |v: &f32| bf16::from_f32(*v).to_le_bytes();
        values.iter().flat_map(narrow).collect()
    })
}

fn serialize(
    tensors: &NamedTensors,
    dtype: Dtype,
    note: &str,
    encode: impl Fn(&[f32]) -> Vec<u8>,
) -> Result<Vec<u8>, CheckpointError> {
    let failed =
        |error: safetensors::SafeTensorError| CheckpointError::Safetensors(error.to_string());
    let data: Vec<(&String, &[usize], Vec<u8>)> = tensors
        .iter()
        .map(|(name, (values, dims))| (name, dims.as_slice(), encode(values)))
        .collect();
    let views = data
        .iter()
        .map(|(name, dims, bytes)| {
            Ok((
                name.as_str(),
                TensorView::new(dtype, dims.to_vec(), bytes).map_err(failed)?,
            ))
        })
        .collect::<Result<Vec<_>, CheckpointError>>()?;
    let format = if note.is_empty() {
        "pt".to_owned()
    } else {
        format!("{NOTE_PREFIX}{note}")
    };
    let metadata = [(FORMAT.to_owned(), format)].into();
    safetensors::serialize(views, Some(metadata)).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> NamedTensors {
        NamedTensors::from([
            (
                "a".to_owned(),
                (
                    vec![1.0, -0.0, f32::MIN_POSITIVE, 5.1, 1e30, 7.0],
                    vec![2, 3],
                ),
            ),
            ("b".to_owned(), (vec![0.5], vec![1])),
        ])
    }

    #[test]
    fn f32_comes_back_bit_for_bit_and_bf16_rounds_to_nearest_even() {
        let tensors = sample();
        let bytes = serialize_f32(&tensors).unwrap();
        assert_eq!(parse_tensors(&bytes).unwrap(), tensors);
        assert_eq!(bytes, serialize_f32(&tensors).unwrap());
        let rounded = parse_tensors(&serialize_bf16(&tensors).unwrap()).unwrap();
        assert_eq!(rounded["a"].0[3], 5.093_75);
        // Halfway between two bf16 numbers: the even one.
        let half = NamedTensors::from([("x".to_owned(), (vec![1.003_906_2], vec![1]))]);
        assert_eq!(
            parse_tensors(&serialize_bf16(&half).unwrap()).unwrap()["x"].0,
            [1.0]
        );
    }

    #[test]
    fn weights_are_finite_and_all_tensors_need_not_be() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut tensors = sample();
            assert_eq!(
                parse_weights(&serialize_f32(&tensors).unwrap()).unwrap(),
                tensors
            );
            let values = &mut tensors.get_mut("a").unwrap().0;
            (values[1], values[5]) = (bad, bad);
            for bytes in [
                serialize_f32(&tensors).unwrap(),
                serialize_bf16(&tensors).unwrap(),
            ] {
                assert!(parse_tensors(&bytes).is_ok());
                let error = parse_weights(&bytes).unwrap_err();
                assert_eq!(
                    error.to_string(),
                    "tensor a has values that are NaN or infinite, 2 of 6"
                );
                assert!(error.hint().is_some());
            }
        }
    }

    #[test]
    fn truncated_and_lying_files_are_errors() {
        let bytes = serialize_f32(&sample()).unwrap();
        for len in 0..bytes.len() {
            assert!(parse_tensors(&bytes[..len]).is_err(), "first {len} bytes");
        }
        // A header that claims to be longer than any file.
        let mut lying = bytes.clone();
        lying[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(parse_tensors(&lying).is_err());
        // Sizes that overflow when multiplied.
        let header =
            br#"{"a":{"dtype":"F32","shape":[4611686018427387904,16],"data_offsets":[0,8]}}"#;
        let mut huge = (header.len() as u64).to_le_bytes().to_vec();
        huge.extend_from_slice(header);
        huge.extend_from_slice(&[0; 8]);
        assert!(parse_tensors(&huge).is_err());
    }
}
