//! The minions that the masters of a client accept: what stands in `pki/master/minions` there.

use proto::message::MinionId;

use crate::client::{Client, Dispatch};
use crate::error::{Error, Place};

/// Ids with their public keys: active masters' own minions, active servers, the dispatch identity. Those
/// without a key are left out.
///
/// # Errors
/// [`Error::Id`] for a name that is no minion id; [`Error::IdTwice`].
pub(crate) fn accepted(client: &Client) -> Result<Vec<(&str, &str)>, Error> {
    let mut accepted = Vec::new();
    for master in client.active_masters() {
        check(&master.fqdn, master.place_of("fqdn"))?;
        accepted.extend(
            master
                .minion
                .as_ref()
                .map(|pair| (master.fqdn.as_str(), pair.pub_.as_str())),
        );
    }
    for minion in client.minions.iter().filter(|minion| minion.active) {
        check(&minion.fqdn, minion.place())?;
        accepted.extend(
            minion
                .minion
                .as_ref()
                .map(|pair| (minion.fqdn.as_str(), pair.pub_.as_str())),
        );
    }
    if let Some(dispatch) = &client.pipeline {
        check_dispatch(client, dispatch)?;
        accepted.push((dispatch.id.as_str(), dispatch.pair.pub_.as_str()));
    }
    Ok(accepted)
}

/// Refuses a dispatch identity whose id is none, or a host's.
pub(crate) fn check_dispatch(client: &Client, dispatch: &Dispatch) -> Result<(), Error> {
    check(&dispatch.id, dispatch.place())?;
    let masters = client.masters.iter().map(|master| &master.fqdn);
    let mut hosts = masters.chain(client.minions.iter().map(|minion| &minion.fqdn));
    if hosts.any(|fqdn| *fqdn == dispatch.id) {
        return Err(Error::IdTwice {
            place: dispatch.place().clone(),
            id: dispatch.id.clone(),
        });
    }
    Ok(())
}

fn check(id: &str, place: &Place) -> Result<(), Error> {
    let place = || place.clone();
    MinionId::parse(id).map(drop).map_err(|source| Error::Id {
        place: place(),
        source,
    })
}
