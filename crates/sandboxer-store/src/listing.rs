//! Pages of sandboxes, newest first. What decides whether a sandbox is on a page is read from narrow rows by an index, and
//! only the records of the page itself are read: what a page costs must grow neither with records nor with history.

use std::collections::BTreeMap;

use rusqlite::params_from_iter;
use rusqlite::types::Value;
use sandboxer_model::id::SandboxId;
use sandboxer_model::lifecycle::State;
use sandboxer_model::profile::Scope;
use sandboxer_model::sandbox::Actor;

use crate::damage;
use crate::error::StoreError;
use crate::open::Store;
use crate::record::SandboxRecord;

/// Where there are several ways to a page, each is counted up to here to find the shortest.
const COUNTED: u32 = 20_000;
/// Comes after every id.
const AFTER_ALL: &str = "sbx-{";

/// What a caller may see.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Viewer {
    /// Only this project; `None`: all.
    pub project: Option<String>,
    /// With `project`: only what this subject made, and what is shared.
    pub owner: Option<String>,
}

impl Viewer {
    /// Whether it sees a sandbox.
    pub fn sees(&self, record: &SandboxRecord) -> bool {
        let sandbox = &record.sandbox;
        match &self.project {
            None => true,
            Some(project) if sandbox.consumer.project.as_ref() != Some(project) => false,
            Some(_) => self.owns(record) || sandbox.scope == Scope::Shared,
        }
    }

    /// Whether its subject made a sandbox, or it is bound to none.
    pub fn owns(&self, record: &SandboxRecord) -> bool {
        self.owner.is_none() || self.owner == record.facts.owner
    }
}

/// Which sandboxes are on a page.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PageFilter {
    /// Only these states; empty: every state that is not `destroyed`.
    pub states: Vec<State>,
    /// Destroyed ones too, when `states` is empty.
    pub all: bool,
    /// Only this profile.
    pub profile: Option<String>,
    /// Only this project.
    pub project: Option<String>,
    /// Only on behalf of this kind of caller.
    pub actor: Option<Actor>,
    /// Only of this run.
    pub run_id: Option<String>,
    /// Only with all of these labels.
    pub labels: BTreeMap<String, String>,
    /// Only ids that begin so, with or without `sbx-`.
    pub id_prefix: Option<String>,
    /// Only what was made before this one.
    pub before: Option<SandboxId>,
    /// So many at most.
    pub limit: u32,
}

/// A page.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// What is on it, newest first.
    pub records: Vec<SandboxRecord>,
    /// Whether there is more.
    pub more: bool,
}

impl Store {
    /// One page of what a viewer may see.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn page(&self, filter: &PageFilter, viewer: &Viewer) -> Result<Page, StoreError> {
        let nothing = Page {
            records: Vec::new(),
            more: false,
        };
        let Some(asked) = Asked::of(filter, viewer) else {
            return Ok(nothing);
        };
        let way = self.shortest(&asked)?;
        let (sql, values) = asked.question(&way, filter.limit);
        let rows = self.rows(&sql, params_from_iter(values), |row| {
            self.unless_damaged(&damage::SANDBOXES, row, self.read_sandbox(row))
        })?;
        // One more was asked for than is shown.
        let most = usize::try_from(filter.limit).unwrap_or(usize::MAX);
        Ok(Page {
            more: rows.len() > most,
            records: rows.into_iter().take(most).flatten().collect(),
        })
    }

    /// The way with the fewest sandboxes on it.
    fn shortest(&self, asked: &Asked) -> Result<Way, StoreError> {
        let mut ways = asked.ways();
        if ways.len() == 1 {
            return Ok(ways.remove(0));
        }
        let mut shortest = (i64::MAX, Way::State);
        for way in ways {
            let (sql, values) = asked.count(&way);
            let count = self.one(&sql, params_from_iter(values), |row| self.number(row, "n"))?;
            let count = count.unwrap_or(0);
            if count < shortest.0 {
                shortest = (count, way);
            }
        }
        Ok(shortest.1)
    }
}

/// By which index a page is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    Label(String, String),
    Run(String),
    Profile(String),
    Actor(Actor),
    Project(String),
    State,
}

impl Way {
    /// The table, its index, and the condition that is searched by.
    fn start(&self, sql: &mut Sql) -> String {
        match self {
            Way::Label(key, value) => {
                let (key, value) = (sql.text(key), sql.text(value));
                format!("label INDEXED BY label_value WHERE key = {key} AND value = {value}")
            }
            Way::Run(run) => format!("listing INDEXED BY listing_run WHERE run_id = {}", sql.text(run)),
            Way::Profile(profile) => {
                format!(
                    "listing INDEXED BY listing_profile WHERE profile_id = {}",
                    sql.text(profile)
                )
            }
            Way::Actor(actor) => {
                format!(
                    "listing INDEXED BY listing_actor WHERE actor = {}",
                    sql.text(actor.name())
                )
            }
            Way::Project(project) => {
                format!(
                    "listing INDEXED BY listing_project WHERE project = {}",
                    sql.text(project)
                )
            }
            Way::State => "listing INDEXED BY listing_state WHERE 1 = 1".to_owned(),
        }
    }
}

/// A filter and a viewer as one question.
struct Asked {
    states: Vec<State>,
    project: Option<String>,
    /// With `project`: only what this subject made, and what is shared.
    owner: Option<String>,
    profile: Option<String>,
    actor: Option<Actor>,
    run_id: Option<String>,
    labels: Vec<(String, String)>,
    /// Ids from here on.
    from: String,
    /// Ids before this.
    to: String,
}

impl Asked {
    /// `None`: nothing can be on the page.
    fn of(filter: &PageFilter, viewer: &Viewer) -> Option<Asked> {
        let project = match (&filter.project, &viewer.project) {
            (Some(asked), Some(own)) if asked != own => return None,
            (asked, own) => own.clone().or_else(|| asked.clone()),
        };
        let states = match filter.states.as_slice() {
            [] => State::ALL
                .into_iter()
                .filter(|state| filter.all || !state.is_gone())
                .collect(),
            asked => State::ALL.into_iter().filter(|state| asked.contains(state)).collect(),
        };
        let (from, mut to) = match &filter.id_prefix {
            None => (String::new(), AFTER_ALL.to_owned()),
            Some(prefix) => {
                let lower = prefix.to_ascii_lowercase();
                let body = lower.strip_prefix("sbx-").unwrap_or(&lower);
                if !body.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                    return None;
                }
                // `{` follows `z`: the first text that no longer begins so.
                (format!("sbx-{body}"), format!("sbx-{body}{{"))
            }
        };
        if let Some(before) = &filter.before {
            to = to.min(before.as_str().to_owned());
        }
        let owner = match &viewer.project {
            Some(_) => viewer.owner.clone(),
            None => None,
        };
        Some(Asked {
            states,
            project,
            owner,
            profile: filter.profile.clone(),
            actor: filter.actor,
            run_id: filter.run_id.clone(),
            labels: filter.labels.clone().into_iter().collect(),
            from,
            to,
        })
    }

    /// Every index that leads there.
    fn ways(&self) -> Vec<Way> {
        let mut ways: Vec<Way> = self
            .labels
            .iter()
            .map(|(key, value)| Way::Label(key.clone(), value.clone()))
            .collect();
        ways.extend(self.run_id.clone().map(Way::Run));
        ways.extend(self.profile.clone().map(Way::Profile));
        ways.extend(self.actor.map(Way::Actor));
        // In order of state too, so that what is over costs nothing where it is not asked for.
        ways.push(match &self.project {
            Some(project) => Way::Project(project.clone()),
            None => Way::State,
        });
        ways
    }

    /// The question for a page: the ids that are on it in order, from searches that are, then their records.
    fn question(&self, way: &Way, limit: u32) -> (String, Vec<Value>) {
        let mut sql = Sql::default();
        let arms = self.arms(way, &mut sql);
        let limit = sql.bind(Value::Integer(i64::from(limit) + 1));
        let ids = format!("{} ORDER BY 1 DESC LIMIT {limit}", arms.join(" UNION ALL "));
        let text = format!(
            "SELECT id, record, epoch, revision, state FROM sandbox WHERE id IN (SELECT id FROM ({ids})) \
             ORDER BY id DESC"
        );
        (text, sql.values)
    }

    /// How many sandboxes there are on a way, up to a bound.
    fn count(&self, way: &Way) -> (String, Vec<Value>) {
        let mut sql = Sql::default();
        let (from, states) = match way {
            Way::Project(_) | Way::State => (way.start(&mut sql), format!(" AND {}", self.in_states(&mut sql))),
            Way::Label(..) | Way::Run(_) | Way::Profile(_) | Way::Actor(_) => (way.start(&mut sql), String::new()),
        };
        let text = format!("SELECT COUNT(*) AS n FROM (SELECT 1 FROM {from}{states} LIMIT {COUNTED})");
        (text, sql.values)
    }

    fn in_states(&self, sql: &mut Sql) -> String {
        let states: Vec<_> = self.states.iter().map(|state| sql.text(state.name())).collect();
        format!("state IN ({})", states.join(", "))
    }

    fn within(&self, id: &str, sql: &mut Sql) -> String {
        format!("{id} >= {} AND {id} < {}", sql.text(&self.from), sql.text(&self.to))
    }

    /// The searches that lead to ids, each in order of id.
    fn arms(&self, way: &Way, sql: &mut Sql) -> Vec<String> {
        match (way, &self.owner) {
            (Way::Label(key, value), _) => {
                let (key, value) = (sql.text(key), sql.text(value));
                // The order of the two is meant: labels first.
                vec![format!(
                    "SELECT label.sandbox_id AS id FROM label CROSS JOIN listing ON listing.id = label.sandbox_id \
                     WHERE label.key = {key} AND label.value = {value} AND {} AND listing.{}{}",
                    self.within("label.sandbox_id", sql),
                    self.in_states(sql),
                    self.rest(way, sql),
                )]
            }
            (Way::Run(_) | Way::Profile(_) | Way::Actor(_), _) => vec![format!(
                "SELECT id FROM {} AND {} AND {}{}",
                way.start(sql),
                self.within("id", sql),
                self.in_states(sql),
                self.rest(way, sql),
            )],
            (Way::Project(project), Some(owner)) => {
                let mut arms = Vec::new();
                for state in &self.states {
                    let (project, owner) = (sql.text(project), sql.text(owner));
                    let own = format!("listing INDEXED BY listing_owner WHERE project = {project} AND owner = {owner}");
                    let shared = format!(
                        "listing INDEXED BY listing_shared WHERE project = {project} AND scope = 'shared' \
                         AND owner IS NOT {owner}"
                    );
                    arms.extend([own, shared].map(|start| self.arm(&start, *state, way, sql)));
                }
                arms
            }
            (Way::Project(_) | Way::State, _) => {
                let states = self.states.iter();
                states
                    .map(|state| {
                        let start = way.start(sql);
                        self.arm(&start, *state, way, sql)
                    })
                    .collect()
            }
        }
    }

    /// One search of those that are in order within a state.
    fn arm(&self, start: &str, state: State, way: &Way, sql: &mut Sql) -> String {
        let state = sql.text(state.name());
        format!(
            "SELECT id FROM {start} AND state = {state} AND {}{}",
            self.within("id", sql),
            self.rest(way, sql)
        )
    }

    /// What is asked for beside what a way says itself.
    fn rest(&self, way: &Way, sql: &mut Sql) -> String {
        let mut rest = String::new();
        if let (Some(project), false) = (&self.project, matches!(way, Way::Project(_))) {
            rest += &format!(" AND project = {}", sql.text(project));
            if let Some(owner) = &self.owner {
                rest += &format!(" AND (owner = {} OR scope = 'shared')", sql.text(owner));
            }
        }
        if let (Some(profile), false) = (&self.profile, matches!(way, Way::Profile(_))) {
            rest += &format!(" AND profile_id = {}", sql.text(profile));
        }
        if let (Some(actor), false) = (self.actor, matches!(way, Way::Actor(_))) {
            rest += &format!(" AND actor = {}", sql.text(actor.name()));
        }
        if let (Some(run), false) = (&self.run_id, matches!(way, Way::Run(_))) {
            rest += &format!(" AND run_id = {}", sql.text(run));
        }
        for (key, value) in &self.labels {
            if matches!(way, Way::Label(by, _) if by == key) {
                continue;
            }
            let (key, value) = (sql.text(key), sql.text(value));
            rest += &format!(
                " AND EXISTS (SELECT 1 FROM label AS one WHERE one.sandbox_id = listing.id AND one.key = {key} \
                 AND one.value = {value})"
            );
        }
        rest
    }
}

/// Values of a question while it is written.
#[derive(Default)]
struct Sql {
    values: Vec<Value>,
}

impl Sql {
    fn bind(&mut self, value: Value) -> String {
        self.values.push(value);
        // Numbered: `$1` would count by where it stands first.
        format!("?{}", self.values.len())
    }

    fn text(&mut self, text: &str) -> String {
        self.bind(Value::Text(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sandboxer_extension::port::{SystemClock, SystemIds};

    use super::*;

    /// Every combination of what can be asked for.
    fn filters() -> Vec<PageFilter> {
        (0..128)
            .map(|bits: u32| {
                let has = |bit: u32| bits & (1 << bit) != 0;
                PageFilter {
                    states: if has(0) {
                        vec![State::Ready, State::Destroyed]
                    } else {
                        Vec::new()
                    },
                    all: has(1),
                    profile: has(2).then(|| "profile.a".to_owned()),
                    project: has(3).then(|| "p".to_owned()),
                    actor: has(4).then_some(Actor::Agt),
                    run_id: has(5).then(|| "r".to_owned()),
                    labels: match has(6) {
                        true => [("k", "v"), ("l", "w")]
                            .map(|(k, v)| (k.to_owned(), v.to_owned()))
                            .into(),
                        false => BTreeMap::new(),
                    },
                    id_prefix: has(2).then(|| "sbx-0".to_owned()),
                    before: None,
                    limit: 100,
                }
            })
            .collect()
    }

    #[tokio::test]
    async fn no_page_is_found_by_reading_a_whole_table_or_sorting() {
        let store = Store::open_in_memory(Arc::new(SystemClock), Arc::new(SystemIds))
            .await
            .unwrap();
        let viewers = [(None, None), (Some("p"), None), (Some("p"), Some("somebody"))].map(|(project, owner)| Viewer {
            project: project.map(str::to_owned),
            owner: owner.map(str::to_owned),
        });
        let mut asked_for = 0;
        for filter in filters() {
            for viewer in &viewers {
                let asked = Asked::of(&filter, viewer).unwrap();
                for way in asked.ways() {
                    for (sql, values) in [asked.question(&way, 100), asked.count(&way)] {
                        asked_for += 1;
                        let plan = store
                            .rows(&format!("EXPLAIN QUERY PLAN {sql}"), params_from_iter(values), |row| {
                                store.text(row, "detail")
                            })
                            .unwrap();
                        let reads_all = plan.iter().any(|line| {
                            line.starts_with("SCAN")
                                && ["sandbox", "listing", "label"].iter().any(|t| line[5..].starts_with(t))
                        });
                        assert!(!reads_all, "{sql}: {plan:#?}");
                        let sorts = plan.iter().any(|line| line.contains("TEMP B-TREE FOR ORDER BY"));
                        assert!(!sorts, "{sql}: {plan:#?}");
                    }
                }
            }
        }
        assert!(asked_for > 1_000, "{asked_for}");
    }
}
