//! Who is a member of which shared subscription.

use std::sync::Arc;

use ibc::{SessionId, StoredSubscription};
use mqtt::{Str, TopicFilter};

use super::{
    Known, Router, Routes,
    place::{Change, Subscription},
    subscriber::Group,
};

impl Router {
    /// Removes a shared subscription of a session, if it has it.
    pub(super) fn remove_shared(&self, routes: &mut Routes, session: SessionId, filter: &Str) {
        let known = routes.sessions.get_mut(&session);
        let removed = known.and_then(|known| known.filters.shared.remove(filter));
        if let Some(subscription) = removed {
            leave_group(routes, session, &subscription.filter);
            routes.census.unsubscribe(true);
            self.bump();
        }
    }
}

/// Adds or changes a shared subscription of a session that is known.
pub(super) fn insert_shared(
    routes: &mut Routes,
    subscription: &StoredSubscription,
    at: Subscription,
) -> Change {
    let session = at.subscriber.session;
    let Some(Known { filters, .. }) = routes.sessions.get_mut(&session) else {
        return Change::Nothing;
    };
    // It may have come with a frame, and must not keep that in memory.
    let filter = subscription.filter.detached();
    let own = StoredSubscription {
        filter: filter.clone(),
        ..*subscription
    };
    let change = match filters.shared.insert(filter.as_shared().clone(), own) {
        Some(old) if old == *subscription => return Change::Nothing,
        Some(_) => Change::Replaced,
        None => Change::Added,
    };
    change_group(routes, &filter, |members| {
        members.retain(|member| member.subscriber.session != session);
        members.push(at);
    });
    change
}

/// The session is no member any more.
pub(super) fn leave_group(routes: &mut Routes, session: SessionId, filter: &TopicFilter) {
    change_group(routes, filter, |members| {
        members.retain(|member| member.subscriber.session != session);
    });
}

/// Groups are replaced, never changed: matches that are cached go on with the old one.
fn change_group(
    routes: &mut Routes,
    filter: &TopicFilter,
    change: impl FnOnce(&mut Vec<Subscription>),
) {
    let name = filter.as_shared();
    let (mut members, turn) = routes.groups.remove(name).map_or((Vec::new(), 0), |group| {
        (group.members.clone(), group.turn())
    });
    change(&mut members);
    let group = (!members.is_empty()).then(|| Arc::new(Group::new(name.clone(), members, turn)));
    if let Some(group) = &group {
        routes.groups.insert(name.clone(), Arc::clone(group));
    }
    routes
        .tree
        .update(filter.pattern(), |place| place.set_group(name, group));
}
