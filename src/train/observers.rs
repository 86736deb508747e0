use std::ops::ControlFlow;

use super::history::EpochRecord;
use super::{FitOptions, Next, Observer, Progress, Reached, TrainError, Trainer};

/// Several observers of one run, each told in order. The run is kept and ends if one of them
/// says so.
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

    fn next(&mut self) -> Next {
        self.iter_mut().map(|observer| observer.next()).max().unwrap_or(Next::GoOn)
    }

    fn save(
        &mut self,
        trainer: &Trainer,
        options: &FitOptions,
        reached: &Reached,
    ) -> Result<(), TrainError> {
        self.iter_mut().try_for_each(|observer| observer.save(trainer, options, reached))
    }
}

/// Nobody looks on: a run whose history is all that is wanted.
impl Observer for () {
    fn epoch(
        &mut self,
        _trainer: &Trainer,
        _record: &EpochRecord,
    ) -> Result<ControlFlow<()>, TrainError> {
        Ok(ControlFlow::Continue(()))
    }
}
