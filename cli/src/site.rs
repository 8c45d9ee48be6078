//! The store that a command works on: from arguments to a store and, where one is needed, a journal on it.

use crate::arguments::StoreArguments;
use crate::failure::Failure;
use crate::objects::{self, Summary};
use crate::output::{Output, suggestion};
use opjournal::config::{Config, S3Config, Settings, StoreUrl};
use opjournal::environment::{Environment, Process};
use opjournal::store::Store;
use opjournal::time::Reading;
use opjournal::{Error, Journal, Namespace};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How an empty name is written and read: as the bucket spells it.
pub const ROOT_NAMESPACE: &str = ".root";

pub struct Site {
    pub store: Arc<dyn Store>,
    pub settings: Settings,
    /// Which store it is, and how S3 is reached: for what the narrow view of a store does not show.
    pub place: StoreUrl,
    pub s3: S3Config,
    pub environment: Arc<dyn Environment>,
    timeout: Duration,
}

impl Site {
    /// Opens the store. That it is there shows at the first request.
    pub async fn open(arguments: &StoreArguments, output: &Output) -> Result<Site, Failure> {
        let text = configuration(arguments)?.to_string();
        let (config, warnings) = Config::parse(text.as_bytes()).map_err(|wrong| Failure::from(Error::from(wrong)))?;
        warnings.iter().for_each(|warning| output.note(format!("warning: {warning}")));
        if matches!(config.store, StoreUrl::Memory { .. }) {
            return Err(Failure::Usage(
                "what is in memory lives and ends with its own process: file:///DIR and s3://BUCKET can be looked at".to_owned(),
            ));
        }
        let store = opjournal::store::open(&config).await?;
        let environment: Arc<dyn Environment> = Arc::new(Process::new(tokio::runtime::Handle::current()));
        let timeout = Duration::from_secs(arguments.timeout);
        Ok(Site { store, settings: config.settings, place: config.store, s3: config.s3, environment, timeout })
    }

    pub fn url(&self) -> &str {
        self.store.url()
    }

    /// When what begins now has to be done.
    pub fn deadline(&self) -> Option<Reading> {
        Some(self.environment.now() + self.timeout)
    }

    /// A journal that writes nothing, folds nothing, and opens what is damaged too.
    pub async fn reader(&self) -> Result<Journal, Failure> {
        let settings = Settings { read_only: true, allow_degraded: true, ..self.settings.clone() };
        self.journal(settings).await
    }

    /// A journal as a host has it.
    pub async fn writer(&self) -> Result<Journal, Failure> {
        self.journal(Settings { read_only: false, ..self.settings.clone() }).await
    }

    /// A journal that opens what is damaged too, and may write.
    pub async fn mender(&self) -> Result<Journal, Failure> {
        self.journal(Settings { read_only: false, allow_degraded: true, ..self.settings.clone() }).await
    }

    async fn journal(&self, settings: Settings) -> Result<Journal, Failure> {
        Ok(Journal::open(settings, self.store.clone(), self.environment.clone(), self.deadline()).await?)
    }

    /// Opens a namespace that has to be there: a misspelt name would otherwise look like an empty one.
    pub async fn existing(&self, journal: &Journal, name: &str) -> Result<Namespace, Failure> {
        let name = name_of(name);
        self.check_exists(name).await?;
        Ok(journal.namespace(name, self.deadline()).await?)
    }

    /// Fails where a namespace is not there, naming the nearest that is.
    pub async fn check_exists(&self, name: &str) -> Result<(), Failure> {
        if objects::exists(self, name).await? { Ok(()) } else { Err(self.missing(name).await) }
    }

    async fn missing(&self, name: &str) -> Failure {
        let all = objects::summaries(self, &indicatif::ProgressBar::hidden()).await;
        let near =
            all.map(|(all, _): (Vec<Summary>, _)| suggestion(name, all.iter().map(|summary| shown(&summary.name)))).unwrap_or_default();
        Failure::Found(format!("there is no namespace {:?} in {}{near}", shown(name), self.url()))
    }

    /// Closes a journal: what is on its way gets its answer.
    pub async fn close(&self, journal: &Journal) -> Result<(), Failure> {
        journal.close(self.deadline()).await?;
        Ok(())
    }
}

/// The name of a namespace as a person types it.
pub fn name_of(typed: &str) -> &str {
    if typed == ROOT_NAMESPACE { "" } else { typed }
}

/// The name of a namespace as a person reads it.
pub fn shown(name: &str) -> &str {
    if name.is_empty() { ROOT_NAMESPACE } else { name }
}

/// The configuration that the arguments stand for, as `opjournal_open` takes it.
fn configuration(arguments: &StoreArguments) -> Result<Value, Failure> {
    let mut config = match &arguments.config {
        None => Map::new(),
        Some(path) => {
            let text = std::fs::read(path).map_err(|error| Failure::file(path.display().to_string(), error))?;
            let wrong = |what: String| Failure::Usage(format!("{}: {what}", path.display()));
            match serde_json::from_slice(&text).map_err(|error| wrong(format!("is no JSON: {error}")))? {
                Value::Object(members) => members,
                _ => return Err(wrong("is no JSON object".to_owned())),
            }
        }
    };
    config.insert("store".to_owned(), url(&arguments.store)?.into());
    for (member, value) in [("region", &arguments.region), ("endpoint", &arguments.endpoint), ("profile", &arguments.profile)] {
        if let Some(value) = value {
            config.insert(member.to_owned(), value.as_str().into());
        }
    }
    if arguments.path_style {
        config.insert("force_path_style".to_owned(), json!(true));
    }
    Ok(Value::Object(config))
}

/// A store as a person types it: a URL, or the path of a directory.
fn url(typed: &str) -> Result<String, Failure> {
    let path = match typed.split_once(':') {
        Some(("s3" | "memory", _)) => return Ok(typed.to_owned()),
        Some(("file", rest)) if rest.starts_with("//") => return Ok(typed.to_owned()),
        Some(("file", rest)) => rest,
        Some((scheme, rest)) if rest.starts_with("//") => {
            return Err(Failure::Usage(format!("{typed:?} is no store: {scheme:?} is none of file, s3")));
        }
        _ => typed,
    };
    if !Path::new(path).is_dir() {
        let looks = "a store is s3://BUCKET[/ROOT], file:///DIR, or the path of a directory";
        return Err(Failure::Usage(format!("there is no directory {path:?}; {looks}")));
    }
    let absolute = std::fs::canonicalize(path).map_err(|error| Failure::file(path, error))?;
    Ok(StoreUrl::File { directory: absolute }.to_string())
}
