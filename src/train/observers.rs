use std::ops::ControlFlow;

use super::history::EpochRecord;
use super::{Observer, Progress, TrainError, Trainer};

/// Several observers of one run, each told in order. The run ends with the epoch if one of them says so.
impl Observer for Vec<&mut dyn Observer> {
    fn batch(&mut self, progress: &Progress) -> Result<(), TrainError> {
        self.iter_mut().try_for_each(|observer| observer.batch(progress))
    }

    fn epoch(
        &mut self,
        trainer: &Trainer,
        record: &EpochRecord,
    ) -> Result<ControlFlow<()>, TrainError> {
        let mut flow = ControlFlow::Continue(());
        for observer in self {
            if observer.epoch(trainer, record)?.is_break() {
                flow = ControlFlow::Break(());
            }
        }
        Ok(flow)
    }
}
