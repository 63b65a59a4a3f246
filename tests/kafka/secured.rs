//! A broker that asks who is there: SCRAM over TLS for users, TLS alone for clients with a certificate, and rights for
//! each of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rcgen::{CertificateParams, DnType, KeyPair};

use crate::broker::{Cluster, free_ports};

/// The password of every user.
pub(crate) const PASSWORD: &str = "secret-of-the-tests";

/// One node. `weirgate` and the client with the certificate may do everything, `nobody` nothing.
#[derive(Debug)]
pub(crate) struct Secured {
    pub(crate) cluster: Cluster,
    /// Where it listens with TLS and SCRAM.
    pub(crate) scram: String,
    /// Where it listens with TLS, and wants a client's certificate.
    pub(crate) mutual: String,
    /// The certificate to trust.
    pub(crate) ca: PathBuf,
    /// A certificate that the broker trusts.
    pub(crate) certificate: PathBuf,
    /// Its key.
    pub(crate) key: PathBuf,
}

impl Secured {
    /// Starts it, and waits until it serves.
    pub(crate) fn start() -> Self {
        let mut cluster = Cluster::prepare(1);
        let directory = cluster.directory();
        let (store, ca) = broker_certificate(directory);
        let (certificate, key) = client_certificate(directory);
        let ports = free_ports(1)[0];
        let (scram, mutual) = (format!("127.0.0.1:{}", ports.0), format!("127.0.0.1:{}", ports.1));
        let listeners = format!(",SASL_SSL://{scram},SSL://{mutual}");
        let settings = format!(
            "sasl.enabled.mechanisms=SCRAM-SHA-512\n\
             listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;\n\
             ssl.keystore.type=PKCS12\n\
             ssl.keystore.location={}\n\
             ssl.keystore.password=changeit\n\
             listener.name.ssl.ssl.client.auth=required\n\
             listener.name.ssl.ssl.truststore.type=PEM\n\
             listener.name.ssl.ssl.truststore.location={}\n\
             authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
             super.users=User:ANONYMOUS;User:weirgate;User:CN=weirgate\n",
            store.display(),
            certificate.display(),
        );
        let change = |text: String| {
            let protocols = "CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL";
            text.replace(",CONTROLLER://", &format!("{listeners},CONTROLLER://"))
                .replace("CONTROLLER:PLAINTEXT", protocols)
                .replacen(
                    "\ncontroller.listener.names",
                    &format!("{listeners}\ncontroller.listener.names"),
                    1,
                )
                + &settings
        };
        let user = |name: &str| format!("SCRAM-SHA-512=[name={name},password={PASSWORD}]");
        let users = ["--add-scram", &user("weirgate"), "--add-scram", &user("nobody")];
        cluster.reconfigure(0, change, &users);
        cluster.start_node(0);
        Self { cluster, scram, mutual, ca, certificate, key }
    }

    /// Adds a user with the password of all.
    pub(crate) fn add_user(&self, name: &str) {
        let scram = format!("SCRAM-SHA-512=[password={PASSWORD}]");
        let user = ["--alter", "--add-config", &scram, "--entity-type", "users", "--entity-name", name];
        self.cluster.tool("kafka.admin.ConfigCommand", &user);
    }

    /// Gives a user rights, as `--operation Write --topic orders.v1`.
    pub(crate) fn grant(&self, name: &str, rights: &[&str]) {
        let principal = format!("User:{name}");
        let arguments = [&["--add", "--allow-principal", &principal], rights].concat();
        self.cluster.tool("org.apache.kafka.tools.AclCommand", &arguments);
    }
}

/// The broker's key store, and its certificate.
fn broker_certificate(directory: &Path) -> (PathBuf, PathBuf) {
    let (store, ca) = (directory.join("broker.p12"), directory.join("ca.pem"));
    let keytool = |arguments: &[&str]| {
        let store = ["-alias", "b", "-storepass", "changeit", "-keystore", store.to_str().unwrap()];
        let status =
            Command::new("keytool").args(arguments).args(store).stderr(Stdio::null()).status().unwrap();
        assert!(status.success(), "no certificate can be made");
    };
    let name = ["-dname", "CN=localhost", "-ext", "SAN=ip:127.0.0.1"];
    keytool(
        &[&["-genkeypair", "-keyalg", "RSA", "-validity", "30", "-storetype", "PKCS12"], &name[..]].concat(),
    );
    keytool(&["-exportcert", "-rfc", "-file", ca.to_str().unwrap()]);
    (store, ca)
}

/// A client's certificate, signed by itself, and its key.
fn client_certificate(directory: &Path) -> (PathBuf, PathBuf) {
    let (certificate, key) = (directory.join("client.pem"), directory.join("client.key"));
    let pair = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "weirgate");
    fs::write(&certificate, params.self_signed(&pair).unwrap().pem()).unwrap();
    fs::write(&key, pair.serialize_pem()).unwrap();
    (certificate, key)
}
