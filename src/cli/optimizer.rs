//! Flags of what parameters are updated by.

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};
use serde::Serialize;
use vgg_wgpu::ops::{Optimizer, Rule};

// What AdamW's flags are if they are not given: PyTorch's values.
const BETA1: f32 = 0.9;
const BETA2: f32 = 0.999;
const EPSILON: f32 = 1e-8;

// Plain comments on this group: clap would take doc comments for the help of the subcommand.

// The optimiser, the learning rate aside.
#[derive(Debug, Clone, Copy, Args, Serialize)]
#[command(next_help_heading = "Learning")]
pub struct OptimizerArgs {
    /// What parameters are updated by
    #[arg(long, value_enum, default_value_t = OptimizerArg::Sgd)]
    optimizer: OptimizerArg,
    /// Momentum of SGD; 0 for none
    #[arg(long, value_name = "FACTOR", default_value_t = 0.0, value_parser = share)]
    momentum: f32,
    /// Nesterov's form of --momentum
    #[arg(long)]
    nesterov: bool,
    /// How much of the mean of gradients AdamW keeps from step to step
    #[arg(long, value_name = "FACTOR", default_value_t = BETA1, value_parser = share)]
    beta1: f32,
    /// The same of the mean of their squares
    #[arg(long, value_name = "FACTOR", default_value_t = BETA2, value_parser = share)]
    beta2: f32,
    /// What AdamW adds to the root of that mean before it divides by it
    #[arg(long, value_name = "NUMBER", default_value_t = EPSILON, value_parser = positive)]
    epsilon: f32,
    /// Weight decay, 0 for none: added to the gradient under SGD, taken from the weight under AdamW
    #[arg(long, value_name = "FACTOR", default_value_t = 0.0, value_parser = at_least_0)]
    weight_decay: f32,
    /// Let --weight-decay fall on biases and on scales and shifts of batch normalisations, too
    #[arg(long)]
    decay_all: bool,
    /// Scale the gradients of all parameters down, if as one vector they are longer than this
    #[arg(long, value_name = "NORM", value_parser = positive)]
    #[serde(skip_serializing_if = "Option::is_none")]
    clip_norm: Option<f32>,
}

/// A rule, as flags name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerArg {
    /// Stochastic gradient descent
    Sgd,
    /// Adam with weight decay of its own
    #[value(name = "adamw")]
    AdamW,
}

impl OptimizerArgs {
    /// What the flags ask for.
    ///
    /// # Errors
    /// Of flags that do not go together.
    pub fn of(&self) -> Result<Optimizer> {
        let Self { momentum, nesterov, beta1, beta2, epsilon, .. } = *self;
        let adam = self.optimizer == OptimizerArg::AdamW;
        ensure!(
            !adam || momentum == 0.0 && !nesterov,
            "--momentum and --nesterov are of SGD; AdamW has --beta1"
        );
        ensure!(
            adam || (beta1, beta2, epsilon) == (BETA1, BETA2, EPSILON),
            "--beta1, --beta2 and --epsilon are of --optimizer adamw; SGD has --momentum"
        );
        ensure!(!nesterov || momentum > 0.0, "--nesterov needs a --momentum, such as 0.9");
        let rule = match self.optimizer {
            OptimizerArg::Sgd => Rule::Sgd { momentum, nesterov },
            OptimizerArg::AdamW => Rule::AdamW { beta1, beta2, epsilon },
        };
        let Self { weight_decay, decay_all, clip_norm, .. } = *self;
        ensure!(
            !decay_all || weight_decay > 0.0,
            "--decay-all needs a --weight-decay, such as 0.0005"
        );
        Ok(Optimizer { rule, weight_decay, decay_all, clip_norm })
    }

    /// The learning rate to begin with, where none is given.
    pub fn learning_rate(&self) -> f32 {
        match self.optimizer {
            OptimizerArg::Sgd => 0.05,
            OptimizerArg::AdamW => 0.001,
        }
    }
}

/// A finite number of at least 0.
pub fn at_least_0(text: &str) -> Result<f32> {
    let number: f32 = text.parse().context("expected a number")?;
    ensure!(number.is_finite() && number >= 0.0, "expected a number of at least 0");
    Ok(number)
}

/// A finite number above 0.
pub fn positive(text: &str) -> Result<f32> {
    let number = at_least_0(text)?;
    ensure!(number > 0.0, "expected a number above 0");
    Ok(number)
}

/// A number in [0, 1).
pub fn share(text: &str) -> Result<f32> {
    let number = at_least_0(text)?;
    ensure!(number < 1.0, "expected a number in [0, 1)");
    Ok(number)
}
