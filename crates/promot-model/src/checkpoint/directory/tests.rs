//! Models written and read back, whole, in shards, and damaged.

use promot_core::Seed;

use super::*;
use crate::arch::{T5, T5Config};
use crate::backend::{Device as _, Host};
use crate::checkpoint::parse_tensors;

fn config() -> T5Config {
    let json = br#"{"vocab_size": 12, "d_model": 4, "d_kv": 2, "d_ff": 8, "num_layers": 1,
        "num_heads": 2, "feed_forward_proj": "gated-gelu"}"#;
    T5Config::from_json(json).unwrap()
}

fn model(tied: bool) -> Model<Host> {
    T5::new(&Host::new(), config(), tied, Seed::new(1)).into()
}

fn values(model: &Model<Host>) -> Vec<(String, Vec<f32>)> {
    let values =
        |p: &crate::param::Parameter<Host>| (p.name.clone(), Host::slice(&p.tensor).to_vec());
    model.parameters().iter().map(values).collect()
}

#[test]
fn a_model_comes_back_with_the_same_bits_and_tying_is_decided_by_the_tensors() {
    for tied in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let saved = model(tied);
        save_model(&saved, directory.path(), SavePrecision::F32).unwrap();
        // Newer transformers releases save `true` for untied models too: the flag is not trusted.
        let path = directory.path().join("config.json");
        let lied = fs::read_to_string(&path).unwrap();
        let lied = lied.replace(
            "\"tie_word_embeddings\": false",
            "\"tie_word_embeddings\": true",
        );
        fs::write(&path, lied).unwrap();
        let loaded = load_model(&Host::new(), directory.path()).unwrap();
        assert_eq!(loaded.is_tied(), tied);
        assert_eq!(values(&loaded), values(&saved));
    }
}

#[test]
fn shards_are_put_together_and_a_missing_one_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let saved = model(false);
    save_model(&saved, directory.path(), SavePrecision::F32).unwrap();
    let single = directory.path().join("model.safetensors");
    let all = parse_tensors(&fs::read(&single).unwrap()).unwrap();
    fs::remove_file(&single).unwrap();
    let mut weight_map = serde_json::Map::new();
    for (i, part) in all.iter().collect::<Vec<_>>().chunks(7).enumerate() {
        let name = format!("model-{i}.safetensors");
        let part: NamedTensors = part
            .iter()
            .map(|(n, t)| ((*n).clone(), (*t).clone()))
            .collect();
        weight_map.extend(
            part.keys()
                .map(|tensor| (tensor.clone(), name.clone().into())),
        );
        fs::write(directory.path().join(name), serialize_f32(&part).unwrap()).unwrap();
    }
    let index = serde_json::json!({"metadata": {}, "weight_map": weight_map}).to_string();
    let index_path = directory.path().join("model.safetensors.index.json");
    fs::write(&index_path, &index).unwrap();
    assert_eq!(
        values(&load_model(&Host::new(), directory.path()).unwrap()),
        values(&saved)
    );

    fs::write(
        &index_path,
        index.replace("model-1.safetensors", "../x.safetensors"),
    )
    .unwrap();
    let error = load_model(&Host::new(), directory.path())
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("plain file name"), "{error}");
    fs::write(&index_path, index).unwrap();
    fs::remove_file(directory.path().join("model-1.safetensors")).unwrap();
    let error = load_model(&Host::new(), directory.path())
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("model-1.safetensors"), "{error}");
}

#[test]
fn what_does_not_fit_is_named_with_both_shapes() {
    let (config, _) = model_to_bytes(&model(false), SavePrecision::F32).unwrap();
    let tensors = named_tensors(&Host::new(), model(false).parameters());
    let load = |tensors: &NamedTensors| {
        let bytes = serialize_f32(tensors).unwrap();
        load_model_from_bytes(&Host::new(), &config, &bytes)
            .err()
            .unwrap()
            .to_string()
    };
    let name = "encoder.block.0.layer.0.SelfAttention.q.weight";
    let mut missing = tensors.clone();
    missing.remove(name);
    assert_eq!(load(&missing), format!("tensor {name} is missing"));
    let mut extra = tensors.clone();
    extra.insert("bert.pooler".to_owned(), (vec![1.0], vec![1]));
    assert!(load(&extra).contains("bert.pooler"));
    let mut wrong = tensors;
    wrong.insert(name.to_owned(), (vec![0.0; 6], vec![3, 2]));
    assert_eq!(
        load(&wrong),
        format!("tensor {name} has shape [3, 2], expected [4, 4]")
    );
}

#[test]
fn values_that_are_not_finite_are_refused_with_the_file_and_the_tensor() {
    let directory = tempfile::tempdir().unwrap();
    save_model(&model(false), directory.path(), SavePrecision::F32).unwrap();
    let single = directory.path().join("model.safetensors");
    let mut tensors = parse_tensors(&fs::read(&single).unwrap()).unwrap();
    let name = "decoder.block.0.layer.0.SelfAttention.q.weight";
    tensors.get_mut(name).unwrap().0[3] = f32::NAN;
    let damaged = serialize_f32(&tensors).unwrap();
    let load = || load_model(&Host::new(), directory.path()).err().unwrap();
    let expected = |path: &Path| {
        let path = path.display();
        format!("{path}: tensor {name} has values that are NaN or infinite, 1 of 16")
    };
    fs::write(&single, &damaged).unwrap();
    assert_eq!(load().to_string(), expected(&single));
    assert!(load().hint().is_some());

    fs::remove_file(&single).unwrap();
    let shard = directory.path().join("model-1.safetensors");
    fs::write(&shard, &damaged).unwrap();
    let names = tensors.keys().map(|name| (name, "model-1.safetensors"));
    let map: std::collections::BTreeMap<_, _> = names.collect();
    let index = serde_json::json!({ "weight_map": map }).to_string();
    let path = directory.path().join("model.safetensors.index.json");
    fs::write(path, index).unwrap();
    assert_eq!(load().to_string(), expected(&shard));
}
