//! Stages that train: `pretrain`, `prompt_tune`, `model_tune` and others, what they have in common, and
//! `random_prompt`, which makes what some of them start from.

use promot_model::optim::Decay;

use super::{Reader, Wanted};
use crate::plan::params::{
    CurriculumParams, LoraTuneParams, ModelSize, ModelTuneParams, OptimizerKind, PretrainParams,
    PromptTuneParams, RandomPromptParams, TrainParams,
};
use crate::spec::{Fields, Node, Value};

impl Reader<'_> {
    pub(super) fn pretrain(&mut self, node: &Node) -> PretrainParams {
        let mut fields = Fields::of(node, "pretrain", self.diagnostics);
        let mut size =
            |key, default| fields.count(key, 1..=65_536, default, self.diagnostics) as usize;
        let size = ModelSize {
            d_model: size("d_model", 128),
            d_kv: size("d_kv", 32),
            d_ff: size("d_ff", 256),
            num_layers: size("num_layers", 3),
            num_decoder_layers: size("num_decoder_layers", 2),
            num_heads: size("num_heads", 4),
        };
        let defaults = TrainParams {
            learning_rate: 0.01,
            ..TrainParams::for_models()
        };
        let curriculum = self.curriculum(&mut fields);
        let train = self.train(&mut fields, defaults);
        if train.drift.is_some() {
            let message = "pretrain: `drift` is of stages that tune: here no task is foreign";
            self.diagnostics.push(fields.place(), message, None);
        }
        if train.select.is_some() {
            let message = "pretrain: `select` is of stages that tune: here no task is foreign";
            self.diagnostics.push(fields.place(), message, None);
        }
        fields.finish(self.diagnostics);
        PretrainParams {
            size,
            curriculum,
            train,
        }
    }

    fn curriculum(&mut self, fields: &mut Fields<'_>) -> CurriculumParams {
        let mut phases = CurriculumParams {
            verification: 0,
            zero_shot: 0,
        };
        if let Some(node) = fields.take("curriculum") {
            let mut fields = Fields::of(node, "curriculum", self.diagnostics);
            let mut steps = |key| fields.count(key, 0..=u64::MAX, 0, self.diagnostics);
            phases.verification = steps("verification");
            phases.zero_shot = steps("zero_shot");
            fields.finish(self.diagnostics);
        }
        phases
    }

    pub(super) fn prompt_tune(&mut self, node: &Node) -> Option<PromptTuneParams> {
        let mut fields = Fields::of(node, "prompt_tune", self.diagnostics);
        let on = self.required_stage(&mut fields, "on", Wanted::Data);
        let from = self.model_name(&mut fields, "from");
        let (length, init_from_vocabulary) = self.prompt_start(&mut fields, true);
        let train = self.train(&mut fields, TrainParams::for_prompts());
        if train.select.is_some() {
            let message = "prompt_tune: `select` is of stages that tune the model: this one answers \
                           foreign prompts as it did before";
            self.diagnostics.push(fields.place(), message, None);
        }
        fields.finish(self.diagnostics);
        Some(PromptTuneParams {
            on: on?,
            from,
            length,
            init_from_vocabulary,
            train,
        })
    }

    /// The rows of a fresh prompt, and whether they are sampled from the vocabulary.
    fn prompt_start(&mut self, fields: &mut Fields<'_>, from_vocabulary: bool) -> (usize, bool) {
        let length = fields.count("length", 1..=10_000, 100, self.diagnostics) as usize;
        let init = [("vocabulary", true), ("uniform", false)];
        let init = fields.choice("init", &init, from_vocabulary, self.diagnostics);
        (length, init)
    }

    pub(super) fn random_prompt(&mut self, node: &Node) -> RandomPromptParams {
        let mut fields = Fields::of(node, "random_prompt", self.diagnostics);
        let from = self.model_name(&mut fields, "from");
        let (length, init_from_vocabulary) = self.prompt_start(&mut fields, false);
        fields.finish(self.diagnostics);
        RandomPromptParams {
            from,
            length,
            init_from_vocabulary,
        }
    }

    pub(super) fn joint_tune(&mut self, node: &Node) -> Option<PromptTuneParams> {
        let mut fields = Fields::of(node, "joint_tune", self.diagnostics);
        let on = self.required_stage(&mut fields, "on", Wanted::Data);
        let from = self.model_name(&mut fields, "from");
        let (length, init_from_vocabulary) = self.prompt_start(&mut fields, true);
        let mut train = self.train(&mut fields, TrainParams::for_models());
        // The paper tunes both with the same rate (section A.2.4).
        train.prompt_learning_rate = Some(fields.number(
            "prompt_learning_rate",
            0.0..f64::INFINITY,
            train.learning_rate,
            self.diagnostics,
        ));
        fields.finish(self.diagnostics);
        Some(PromptTuneParams {
            on: on?,
            from,
            length,
            init_from_vocabulary,
            train,
        })
    }

    pub(super) fn lora_tune(&mut self, node: &Node) -> Option<LoraTuneParams> {
        let mut fields = Fields::of(node, "lora_tune", self.diagnostics);
        let on = self.required_stage(&mut fields, "on", Wanted::Data);
        let from = self.model_name(&mut fields, "from");
        let rank = fields.count("rank", 1..=4096, 4, self.diagnostics) as usize;
        let alpha = fields.number("alpha", 1e-6..1e6, 2.0 * rank as f64, self.diagnostics);
        let lora_dropout = fields.number("lora_dropout", 0.0..1.0, 0.0, self.diagnostics);
        let targets = match fields.take("targets") {
            Some(node) => {
                let targets = self.names(node, "targets");
                if matches!(&node.value, Value::List(list) if list.is_empty()) {
                    let message = "`targets`: no layer to change";
                    self.diagnostics.push(node.place, message, None);
                }
                targets
            }
            None => Vec::new(),
        };
        let train = self.train(&mut fields, TrainParams::for_lora());
        fields.finish(self.diagnostics);
        Some(LoraTuneParams {
            on: on?,
            from,
            rank,
            alpha,
            lora_dropout,
            targets: targets.iter().map(|(name, _)| (*name).to_owned()).collect(),
            train,
        })
    }

    pub(super) fn model_tune(&mut self, node: &Node) -> Option<ModelTuneParams> {
        let mut fields = Fields::of(node, "model_tune", self.diagnostics);
        let on = self.required_stage(&mut fields, "on", Wanted::DataOrMix);
        let from = self.model_name(&mut fields, "from");
        let prompt = self.stage_name(&mut fields, "prompt", Wanted::Adapter);
        let train = self.train(&mut fields, TrainParams::for_models());
        fields.finish(self.diagnostics);
        Some(ModelTuneParams {
            on: on?,
            from,
            prompt,
            train,
        })
    }

    fn train(&mut self, fields: &mut Fields<'_>, defaults: TrainParams) -> TrainParams {
        let drift = fields.take("drift").and_then(|node| self.drift(node));
        let select = fields.take("select").and_then(|node| self.select(node));
        let d = &mut *self.diagnostics;
        let optimizers = [
            ("adafactor", OptimizerKind::Adafactor),
            ("adamw", OptimizerKind::Adamw),
        ];
        let decays = [
            ("constant", Decay::Constant),
            ("cosine", Decay::Cosine),
            ("linear", Decay::Linear),
            ("inverse_square_root", Decay::InverseSquareRoot),
        ];
        let steps = fields.count("steps", 1..=u64::MAX, defaults.steps, d);
        TrainParams {
            steps,
            checkpoint_every: fields.count(
                "checkpoint_every",
                1..=u64::MAX,
                defaults.checkpoint_every,
                d,
            ),
            batch_size: fields.count("batch_size", 1..=65_536, defaults.batch_size as u64, d)
                as usize,
            micro_batches: fields.count("micro_batches", 1..=65_536, 1, d) as usize,
            recompute: fields.flag("recompute", false, d),
            optimizer: fields.choice("optimizer", &optimizers, defaults.optimizer, d),
            scale_by_parameter: fields.flag("scale_by_parameter", defaults.scale_by_parameter, d),
            weight_decay: fields.number("weight_decay", 0.0..1.0, defaults.weight_decay, d),
            learning_rate: fields.number(
                "learning_rate",
                0.0..f64::INFINITY,
                defaults.learning_rate,
                d,
            ),
            warmup: fields.count("warmup", 0..=u64::MAX, 0, d),
            decay: fields.choice("decay", &decays, defaults.decay, d),
            max_gradient_norm: match fields.number("max_gradient_norm", 0.0..f64::INFINITY, 0.0, d)
            {
                0.0 => None,
                norm => Some(norm),
            },
            label_smoothing: fields.number(
                "label_smoothing",
                0.0..1.0,
                defaults.label_smoothing,
                d,
            ),
            dropout: fields.number("dropout", 0.0..1.0, defaults.dropout, d),
            shots: fields.count("shots", 0..=64, 0, d) as usize,
            max_input_tokens: fields
                .optional_count("max_input_tokens", 32..=1_000_000, d)
                .map(|tokens| tokens as usize),
            keep_checkpoints: fields.flag("keep_checkpoints", false, d),
            prompt_learning_rate: None,
            drift,
            select,
        }
    }
}

impl TrainParams {
    /// The paper's settings for tuning a model (section A.2.4).
    fn for_models() -> Self {
        Self {
            steps: 1000,
            checkpoint_every: 100,
            batch_size: 64,
            micro_batches: 1,
            recompute: false,
            optimizer: OptimizerKind::Adafactor,
            scale_by_parameter: true,
            weight_decay: 0.0,
            learning_rate: 0.001,
            warmup: 0,
            decay: Decay::Constant,
            max_gradient_norm: None,
            label_smoothing: 0.1,
            dropout: 0.1,
            shots: 0,
            max_input_tokens: None,
            keep_checkpoints: false,
            prompt_learning_rate: None,
            drift: None,
            select: None,
        }
    }

    /// Settings for tuning LoRA's changes: what is zero at first has no scale to multiply with.
    fn for_lora() -> Self {
        Self {
            scale_by_parameter: false,
            ..Self::for_models()
        }
    }

    /// The paper's settings for tuning a prompt.
    fn for_prompts() -> Self {
        Self {
            steps: 5000,
            checkpoint_every: 1000,
            scale_by_parameter: false,
            learning_rate: 0.2,
            ..Self::for_models()
        }
    }
}
