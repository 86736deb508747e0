//! Which variant computes a task: what the user wants, else what was measured, else what the cost
//! model says.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::cost::{USUAL_IMAGES, least, seconds, seconds_of};
use super::{ConvTask, Op, task_key};
use crate::gpu::AdapterFacts;
use crate::kernel::{KernelError, Variant};

/// Variants by the key of the task that they are to compute, see [`task_key`]: measured, or recorded
/// with a run. Those that an adapter does not run are passed over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Choices(BTreeMap<String, String>);

impl Choices {
    /// The variant chosen for a task.
    pub fn get(&self, task: &str) -> Option<&str> {
        self.0.get(task).map(String::as_str)
    }

    /// Chooses `variant` for a task.
    pub fn set(&mut self, task: String, variant: String) {
        self.0.insert(task, variant);
    }

    /// Tasks with a choice.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if nothing was chosen.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tasks and variants, in the order of the tasks' keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(task, variant)| (task.as_str(), variant.as_str()))
    }

    /// The variant that computes a pass of a convolution, among those of all ways to do so: the first
    /// of the variants in `wanted` that does, else the one chosen, else the one of the cost model.
    /// `None` if the adapter runs none.
    pub fn conv(
        &self,
        task: &ConvTask,
        images: usize,
        facts: &AdapterFacts,
        wanted: &[String],
    ) -> Option<&'static str> {
        let ways = task.ways(USUAL_IMAGES, facts);
        let of_way = |way| {
            let name = move |variant: Variant| (variant.name, seconds_of(way, variant.name, facts));
            way.variants(facts).into_iter().map(name)
        };
        let all: Vec<_> = ways.iter().flat_map(of_way).collect();
        let known = |name: &str| all.iter().position(|(known, _)| *known == name);
        let chosen = wanted.iter().map(String::as_str).chain(self.get(&task.key(images)));
        let place = { chosen }.find_map(known).or_else(|| least(all.iter().map(|(_, s)| *s)))?;
        Some(all[place].0)
    }

    /// The name of the variant that computes the task of `op`, whichever way it is computed.
    ///
    /// # Errors
    /// As [`choose`].
    pub fn name(
        &self,
        op: &dyn Op,
        images: usize,
        facts: &AdapterFacts,
        wanted: &[String],
    ) -> Result<&'static str, KernelError> {
        let conv = op.conv().and_then(|conv| self.conv(&conv, images, facts, wanted));
        match conv {
            Some(name) => Ok(name),
            None => Ok(self.variant(op, images, facts, wanted)?.name),
        }
    }

    /// The variant of `op` to run, as [`choose`] with what was chosen after what is wanted.
    ///
    /// # Errors
    /// As [`choose`].
    pub fn variant(
        &self,
        op: &dyn Op,
        images: usize,
        facts: &AdapterFacts,
        wanted: &[String],
    ) -> Result<Variant, KernelError> {
        let chosen = self.get(&task_key(op, images)).map(str::to_owned);
        choose(op, facts, &wanted.iter().cloned().chain(chosen).collect::<Vec<_>>())
    }
}

/// The variant of `op` to run on an adapter: the first of those named by `wanted` that belongs to this
/// operation, else the one that the cost model finds fastest.
///
/// # Errors
/// [`KernelError::NoVariant`] with the reasons if none is supported.
pub fn choose(
    op: &dyn Op,
    facts: &AdapterFacts,
    wanted: &[String],
) -> Result<Variant, KernelError> {
    let (usable, others): (Vec<_>, Vec<_>) =
        op.variants(facts).into_iter().partition(|variant| variant.supported.is_ok());
    let place = wanted
        .iter()
        .find_map(|name| usable.iter().position(|variant| variant.name == name))
        .or_else(|| least(usable.iter().map(|variant| seconds(op, variant.name, facts))));
    match place {
        Some(place) => Ok(usable[place].clone()),
        None => Err(KernelError::NoVariant {
            op: op.name(),
            adapter: facts.name.clone(),
            reasons: others
                .iter()
                .map(|v| format!("{}: {}", v.name, v.supported.as_ref().err().map_or("", |e| e)))
                .collect::<Vec<_>>()
                .join("; "),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::AdapterKind;
    use crate::ops::{ConvPass, DenseForward, Dropout, Slice};
    use crate::shape::FeatureMap;

    #[test]
    fn what_the_user_wants_comes_before_what_was_measured_and_that_before_the_model() {
        let facts = AdapterFacts::example(AdapterKind::Software);
        let source = FeatureMap::new(14, 14, 16).with_halo(1);
        let target = source.with_channels(32);
        let task = ConvTask::new(ConvPass::Forward, source, target);
        let dense = DenseForward {
            slice: Slice::whole(64, 32),
            relu: true,
            dropout: Dropout::NONE,
            images: 8,
        };
        let mut choices = Choices::default();
        let names = |choices: &Choices, wanted: &[&str]| {
            let wanted: Vec<_> = wanted.iter().map(|&name| name.to_owned()).collect();
            let conv = choices.conv(&task, 8, &facts, &wanted).unwrap();
            (conv, choices.variant(&dense, 8, &facts, &wanted).unwrap().name)
        };
        let model = ("winograd_forward_2x2_shuffle", "dense_forward_shuffle");
        assert_eq!(names(&choices, &[]), model);
        // What is no variant of the task changes nothing, whoever says so.
        choices.set(task.key(8), "dense_forward_tiled".to_owned());
        choices.set(task_key(&dense, 9), "dense_forward_tiled".to_owned());
        assert_eq!(names(&choices, &["update"]), model);

        choices.set(task.key(8), "conv_forward_tiled".to_owned());
        choices.set(task_key(&dense, 8), "dense_forward_tiled".to_owned());
        assert_eq!(names(&choices, &[]), ("conv_forward_tiled", "dense_forward_tiled"));
        let wanted = ["winograd_forward_4x4_shuffle", "conv_forward_shuffle"];
        assert_eq!(names(&choices, &wanted), (wanted[0], "dense_forward_tiled"));
    }

    #[test]
    fn a_choice_that_does_not_run_here_is_passed_over() {
        let facts =
            AdapterFacts { subgroups: false, ..AdapterFacts::example(AdapterKind::Discrete) };
        let dense = DenseForward {
            slice: Slice::whole(64, 32),
            relu: true,
            dropout: Dropout::NONE,
            images: 8,
        };
        let mut choices = Choices::default();
        choices.set(task_key(&dense, 8), "dense_forward_shuffle".to_owned());
        assert_eq!(choices.variant(&dense, 8, &facts, &[]).unwrap().name, "dense_forward_tiled");
    }
}
