//! To which master the relay carries, and since when; what a change of it means for requests under way.

use tokio::sync::watch;

use crate::sidecar::facts::MasterIndex;

/// Where the relay carries to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Route {
    /// The elected master; none: what comes is held.
    pub master: Option<MasterIndex>,
    /// Counts the changes.
    pub epoch: u64,
}

/// How the relay leaves a master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// It is dead: what is under way at any master but the new one is sent, unchanged, to the new one.
    Abandon,
    /// A planned move: what is under way may finish there for a while; what is new goes to the new one.
    Finish,
}

/// The route, and which masters were abandoned on the way to it.
#[derive(Debug, Clone)]
pub(super) struct Routing {
    route: Route,
    stints: Vec<Stint>,
}

/// The time from the route's coming to a master until that master is abandoned.
#[derive(Debug, Clone, Copy, Default)]
struct Stint {
    number: u64,
    /// Whether the route has led there.
    used: bool,
}

impl Routing {
    /// No route, over so many masters.
    pub(super) fn new(masters: usize) -> Self {
        Self {
            route: Route::default(),
            stints: vec![Stint::default(); masters],
        }
    }

    /// Changes the route; `false` if there was nothing to change.
    pub(super) fn lead(&mut self, to: Option<MasterIndex>, manner: Manner) -> bool {
        let mut changed = false;
        if manner == Manner::Abandon {
            for (index, stint) in self.stints.iter_mut().enumerate() {
                if stint.used && to != Some(MasterIndex(index)) {
                    stint.number = stint.number.wrapping_add(1);
                    stint.used = false;
                    changed = true;
                }
            }
        }
        if self.route.master != to {
            self.route.master = to;
            self.route.epoch = self.route.epoch.wrapping_add(1);
            changed = true;
        }
        if let Some(stint) = to.and_then(|MasterIndex(index)| self.stints.get_mut(index)) {
            stint.used = true;
        }
        changed
    }

    /// This master is no more: it is abandoned, whether the route leads there or what is under way there finishes.
    pub(super) fn vacate(&mut self, master: MasterIndex) {
        if self.route.master == Some(master) {
            self.route.master = None;
            self.route.epoch = self.route.epoch.wrapping_add(1);
        }
        if let Some(stint) = self.stints.get_mut(master.0) {
            stint.number = stint.number.wrapping_add(1);
            stint.used = false;
        }
    }

    pub(super) fn route(&self) -> Route {
        self.route
    }

    /// Whether a publication of this master that was let through is still carried. The route may have left meanwhile: after a planned move it
    /// is the job that the move has waited for.
    pub(super) fn hears(&self, master: MasterIndex) -> bool {
        self.stints.get(master.0).is_some_and(|stint| stint.used)
    }

    /// The number of the stint at this master. It changes when the master is abandoned: connections from before are of no use then,
    /// also when the route has come back meanwhile.
    pub(super) fn stint(&self, master: MasterIndex) -> u64 {
        self.stints.get(master.0).map_or(0, |stint| stint.number)
    }
}

/// Waits until a condition holds. Without anybody left who could change the route it waits for ever.
pub(super) async fn until(routes: &mut watch::Receiver<Routing>, holds: impl FnMut(&Routing) -> bool) {
    if routes.wait_for(holds).await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: MasterIndex = MasterIndex(0);
    const B: MasterIndex = MasterIndex(1);

    #[test]
    fn a_route_that_stays_is_no_change() {
        let mut routing = Routing::new(2);
        assert!(routing.lead(Some(A), Manner::Abandon));
        assert!(!routing.lead(Some(A), Manner::Abandon));
        assert!(!routing.lead(Some(A), Manner::Finish));
        assert_eq!(
            routing.route(),
            Route {
                master: Some(A),
                epoch: 1
            }
        );
    }

    #[test]
    fn an_abandoned_master_has_a_new_stint_even_if_the_route_comes_back() {
        let mut routing = Routing::new(2);
        routing.lead(Some(A), Manner::Abandon);
        let before = (routing.stint(A), routing.stint(B));
        routing.lead(Some(B), Manner::Abandon);
        routing.lead(Some(A), Manner::Finish);
        assert_ne!(routing.stint(A), before.0);
        assert_eq!(routing.stint(B), before.1);
    }

    #[test]
    fn a_master_that_dies_while_it_finishes_is_abandoned_by_a_second_word() {
        let mut routing = Routing::new(2);
        routing.lead(Some(A), Manner::Abandon);
        let before = routing.stint(A);
        routing.lead(Some(B), Manner::Finish);
        assert_eq!(routing.stint(A), before);
        assert!(routing.lead(Some(B), Manner::Abandon));
        assert_ne!(routing.stint(A), before);
    }

    #[test]
    fn a_master_that_is_no_more_is_abandoned_and_no_route_leads_there() {
        let mut routing = Routing::new(2);
        routing.lead(Some(A), Manner::Abandon);
        let (at_a, epoch) = (routing.stint(A), routing.route().epoch);
        routing.vacate(A);
        assert_eq!(routing.route().master, None);
        assert_ne!((routing.stint(A), routing.route().epoch), (at_a, epoch));
        routing.lead(Some(B), Manner::Finish);
        let at_a = routing.stint(A);
        routing.vacate(A);
        assert_eq!(routing.route().master, Some(B));
        assert_ne!(routing.stint(A), at_a);
    }

    #[test]
    fn an_unknown_master_is_a_route_to_nowhere() {
        let mut routing = Routing::new(1);
        assert!(routing.lead(Some(B), Manner::Abandon));
        assert_eq!(routing.stint(B), 0);
        assert!(routing.lead(None, Manner::Abandon));
    }
}
