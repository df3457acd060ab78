//! Words, numbers, hosts and files that all grammars share, and the built-in terminals.

use super::Rule;
use crate::exposure::dice::Dice;

/// Writes a built-in terminal; false if `name` is none.
pub(super) fn builtin(name: &str, dice: &mut Dice, out: &mut String) -> bool {
    const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
    const MIXED: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    const HEX: &[u8] = b"0123456789abcdef";
    let text = match name {
        "digit" => dice.between(0, 9).to_string(),
        "n" => match dice.below(4) {
            0 => dice.between(0, 9).to_string(),
            1 => dice.between(10, 99).to_string(),
            2 => dice.between(100, 9999).to_string(),
            _ => dice.between(1, 20).to_string(),
        },
        "few" => dice.between(1, 12).to_string(),
        "big" => dice.between(10_000, 99_999_999).to_string(),
        "port" => dice.between(1, 65_535).to_string(),
        "octet" => dice.between(1, 254).to_string(),
        "byte" => dice.between(33, 126).to_string(),
        "letter" => dice.string(LOWER, 1),
        "upper" => dice.string(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", 1),
        "rand" => {
            let length = dice.between(3, 9) as usize;
            dice.string(LOWER, length)
        }
        "mixed" => {
            let length = dice.between(4, 14) as usize;
            dice.string(MIXED, length)
        }
        "token" => {
            let length = dice.between(18, 60) as usize;
            dice.string(MIXED, length)
        }
        "hex2" => dice.string(HEX, 2),
        "hex4" => dice.string(HEX, 4),
        "hex8" => dice.string(HEX, 8),
        "hex32" => dice.string(HEX, 32),
        "sp" => " ".to_owned(),
        "empty" => String::new(),
        "lf" => "\n".to_owned(),
        "cr" => "\r".to_owned(),
        "crlf_raw" => "\r\n".to_owned(),
        "tab" => "\t".to_owned(),
        "nul" => "\0".to_owned(),
        "dup" => "../".repeat(dice.between(2, 9) as usize),
        "nulls" => vec!["null"; dice.between(2, 12) as usize].join(","),
        "count_up" => (1..=dice.between(2, 14))
            .map(|n| n.to_string())
            .collect::<Vec<_>>()
            .join(","),
        "ip_dec" => address(dice)
            .iter()
            .fold(0_u32, |sum, part| (sum << 8) | u32::from(*part))
            .to_string(),
        "ip_hex" => address(dice)
            .iter()
            .fold("0x".to_owned(), |text, part| text + &format!("{part:02x}")),
        "ip_mixed" => mixed_address(dice),
        "ip_v6" => {
            let [a, b, c, d] = address(dice);
            match dice.below(3) {
                0 => format!("[::ffff:{a}.{b}.{c}.{d}]"),
                1 => format!("[::ffff:{a:02x}{b:02x}:{c:02x}{d:02x}]"),
                _ => format!("[0:0:0:0:0:ffff:{a:02x}{b:02x}:{c:02x}{d:02x}]"),
            }
        }
        "ip_circled" => address(dice)
            .map(|part| circled(&part.to_string()))
            .join(dice.word(&[".", "。", "．"])),
        "jsfuck" => jsfuck(dice),
        _ => return false,
    };
    out.push_str(&text);
    true
}

/// An address that only an inside server reaches.
fn address(dice: &mut Dice) -> [u8; 4] {
    let any = |dice: &mut Dice| u8::try_from(dice.between(1, 254)).unwrap_or(1);
    match dice.below(7) {
        0 | 1 => [127, 0, 0, 1],
        2 | 3 => [169, 254, 169, 254],
        4 => [10, any(dice), any(dice), any(dice)],
        5 => [192, 168, any(dice), any(dice)],
        _ => [127, any(dice), any(dice), any(dice)],
    }
}

/// Dotted parts in decimal, octal or hexadecimal, the last of them possibly joined.
fn mixed_address(dice: &mut Dice) -> String {
    let [a, b, c, d] = address(dice);
    let joined = u32::from(c) << 8 | u32::from(d);
    let parts = match dice.below(3) {
        0 => vec![u32::from(a), u32::from(b), joined],
        1 => vec![u32::from(a), u32::from(b) << 16 | joined],
        _ => [a, b, c, d].map(u32::from).to_vec(),
    };
    let written: Vec<String> = parts
        .iter()
        .map(|part| match dice.below(4) {
            0 => format!("0x{part:x}"),
            1 => format!("0{part:o}"),
            2 => format!("0000{part:o}"),
            _ => part.to_string(),
        })
        .collect();
    written.join(".")
}

fn circled(digits: &str) -> String {
    digits
        .bytes()
        .map(|digit| match digit {
            b'0' => '⓪',
            digit => char::from_u32(0x2460 + u32::from(digit) - u32::from(b'1')).unwrap_or('①'),
        })
        .collect()
}

/// JavaScript without letters or digits.
fn jsfuck(dice: &mut Dice) -> String {
    const ATOMS: &[&str] = &[
        "(![]+[])[+[]]",
        "(!![]+[])[+!+[]]",
        "([][[]]+[])[+!+[]]",
        "(![]+[])[!+[]+!+[]]",
        "(!![]+[])[!+[]+!+[]+!+[]]",
        "(+[![]]+[])[+!+[]]",
        "[+!+[]]",
        "[!+[]+!+[]]",
        "(!![]+[])[+[]]",
        "([![]]+[][[]])[+!+[]+[+[]]]",
        "(![]+[])[+!+[]]",
        "[+[]]",
        "(+(+!+[]+[+!+[]]))[+[]]",
    ];
    let atoms: Vec<&str> = (0..dice.between(3, 16)).map(|_| dice.word(ATOMS)).collect();
    match dice.below(3) {
        0 => format!("[][{}]", atoms.join("+")),
        1 => format!("[][{}]({})()", atoms.join("+"), dice.word(ATOMS)),
        _ => atoms.join("+"),
    }
}

#[rustfmt::skip]
pub(super) const RULES: &[Rule] = &[
    ("word", &["admin", "test", "user", "name", "value", "search", "id", "guest", "root", "item", "data", "shop", "hello", "foo", "bar", "john", "page", "order", "product", "news", "«rand»", "«rand»", "«rand»", "«rand»"]),
    ("ident", &["id", "name", "user", "username", "email", "pass", "password", "login", "role", "token", "card", "price", "title", "«rand»", "«rand»", "user_id", "is_admin", "passwd", "pwd", "user_login", "user_pass", "secret", "api_key", "hash", "salt", "phone", "ssn", "«rand»_id", "«letter».«ident_leaf»"]),
    ("ident_leaf", &["id", "name", "password", "email", "login", "hash", "«rand»"]),
    ("table", &["users", "user", "accounts", "members", "admin", "customers", "orders", "products", "information_schema.tables", "information_schema.columns", "mysql.user", "sysobjects", "pg_user", "all_tables", "sqlite_master", "«rand»", "«rand»", "wp_users", "dual", "employees", "credentials", "admins", "tbl_«rand»", "«rand»_users", "passwords", "payments", "dbo.«rand»", "public.«rand»", "«rand»..«rand»", "`«rand»`", "[«rand»]", "\"«rand»\"", "cards", "sessions", "administrators"]),
    ("benign", &["«word»", "«n»", "«word» «word»", "«word»@example.com", "«word»-«n»", "«empty»", "«empty»", "«word»_«word»", "20«digit»«digit»-0«digit»-1«digit»", "«word».«=jpg|png|html|pdf|txt»", "/«word»", "«upper»«rand» «upper»«rand»", "«big»", "«mixed»"]),
    ("tld", &["com", "net", "org", "io", "example", "test", "xyz", "ru", "top", "site", "me", "cn", "info", "co", "live", "club", "eu", "dev"]),
    ("evil", &["evil.«tld»", "attacker.«tld»", "«rand».«tld»", "«rand».oast.«tld»", "bad-«rand».«tld»", "«rand».«rand».«tld»", "x.«rand».«tld»", "«ip»", "collab.«rand».«tld»", "c2.«rand».«tld»", "«hex8».«rand».«tld»", "«rand»«n».«tld»", "«rand».«=burpcollaborator.net|interact.sh|oastify.com|oast.fun|ngrok.io|requestbin.net|webhook.site|dnslog.cn|ceye.io|xss.ht|pipedream.net»", "«ip»:«port»"]),
    ("ip", &["10.«octet».«octet».«octet»", "192.168.«octet».«octet»", "«octet».«octet».«octet».«octet»", "127.0.0.1", "172.16.«octet».«octet»", "198.51.100.«octet»", "203.0.113.«octet»"]),
    ("unixfile", &["etc/passwd", "etc/passwd", "etc/passwd", "etc/passwd", "etc/passwd", "etc/passwd", "etc/passwd", "etc/passwd", "etc/passwd", "etc/passwd", "etc/shadow", "etc/shadow", "etc/hosts", "etc/hosts", "proc/self/environ", "proc/self/environ", "etc/group", "etc/issue", "etc/passwd", "etc/passwd", "etc/passwd", "etc/shadow", "etc/hosts", "«ufile»", "«ufile»", "«ufile»", "«ufile»", "«ufile»", "«ufile»", "«ufile»", "«ufile»", "«ufile»", "«ufile»", "«ufile»", "«ufile»", "«ufile»", "«ufile»", "«ufile»", "«ufile»", "«ufile»", "«ufile»", "«ufile»", "«ufile»", "etc/shadow", "etc/hosts", "etc/group", "etc/issue", "proc/self/environ", "proc/self/cmdline", "proc/version", "var/log/apache2/access.log", "var/log/auth.log", "var/www/html/index.php", "root/.ssh/id_rsa", "root/.bash_history", "home/«word»/.ssh/id_rsa", "etc/nginx/nginx.conf", "etc/mysql/my.cnf", "var/lib/mlocate.db", "proc/net/tcp", "etc/crontab", "tmp/«rand»", "opt/«rand»/config.yml", "usr/local/etc/«rand».conf", "var/log/messages", "etc/os-release", "etc/resolv.conf", "etc/hostname", "etc/fstab", "etc/sudoers", "etc/ssh/sshd_config", "etc/apache2/apache2.conf", "etc/apache2/sites-enabled/000-default.conf", "etc/httpd/conf/httpd.conf", "usr/local/apache2/conf/httpd.conf", "etc/php.ini", "etc/php/7.«digit»/apache2/php.ini", "var/log/nginx/error.log", "var/log/httpd/error_log", "proc/self/maps", "proc/self/fd/«few»", "proc/«n»/cmdline", "proc/mounts", "proc/cpuinfo", "var/run/secrets/kubernetes.io/serviceaccount/token", "var/spool/cron/crontabs/root", "home/«word»/.bash_history", "home/«word»/.aws/credentials", "var/lib/php/sessions/sess_«hex32»", "usr/local/tomcat/conf/tomcat-users.xml", "etc/tomcat«digit»/tomcat-users.xml", "var/www/«word»/.env", "srv/«word»/config.php", "etc/vsftpd.conf", "etc/samba/smb.conf", "etc/redis/redis.conf", "etc/postgresql/1«digit»/main/pg_hba.conf", "var/mail/root", "var/lib/mysql/mysql/user.MYD", "etc/master.passwd", "etc/security/passwd", "private/etc/passwd", "etc/ld.so.preload", "etc/profile", "etc/motd", "etc/networks", "proc/sched_debug", "proc/self/status", "root/.mysql_history", "root/.my.cnf", "dev/tcp/«ip»/«port»"]),
    ("ufile", &["etc/«svc»/«svcfile»", "etc/«svcfile»", "usr/local/etc/«svc»/«svcfile»", "usr/local/«svc»/«=conf|etc|logs|var|data»/«svcfile»", "var/log/«svc»/«svcfile»", "var/log/«svc».log", "opt/«svc»/«=conf|etc|logs|config|»/«svcfile»", "var/lib/«svc»/«svcfile»", "usr/share/«svc»/«svcfile»", "usr/lib/«svc»/«svcfile»", "home/«word»/.«=ssh|aws|config|gnupg|local|docker|kube»/«=id_rsa|credentials|config|known_hosts|authorized_keys|«rand»»", "home/«word»/.«=bash_history|bashrc|profile|mysql_history|viminfo|netrc|my.cnf|zsh_history»", "root/.«=bash_history|ssh/id_rsa|ssh/authorized_keys|bashrc|profile|my.cnf|mysql_history|viminfo|aws/credentials»", "proc/«n»/«=cmdline|environ|maps|status|stat|cwd/index.php|fd/«few»|mounts|net/tcp|io|limits|sched»", "proc/self/«=cmdline|environ|maps|status|stat|cwd/index.php|fd/«few»|mounts|mountinfo|cgroup|root/etc/passwd|loginuid»", "proc/«=version|cpuinfo|meminfo|net/arp|net/route|net/tcp|net/fib_trie|mounts|partitions|sched_debug|filesystems|modules|cmdline|swaps»", "var/www/«word»/«appfile»", "var/www/html/«rand»/«appfile»", "srv/«svc»/«svcfile»", "tmp/«rand».«=log|txt|php|sock|sql»", "etc/«=init.d|cron.d|cron.daily|rc.d|pam.d|logrotate.d|xinetd.d»/«svc»", "etc/«=redhat-release|debian_version|lsb-release|fedora-release|SuSE-release|centos-release|inittab|services|protocols|shells|securetty|aliases|bashrc|environment|exports|group-|gshadow|passwd-|shadow-|hosts.allow|hosts.deny|inetd.conf|ld.so.conf|login.defs|logrotate.conf|modules.conf|mtab|nsswitch.conf|ntp.conf|printcap|rsyslog.conf|sysctl.conf|syslog.conf|timezone|updatedb.conf|wgetrc|anacrontab|at.deny|cron.allow|machine-id|subuid|opasswd»", "var/«=run/utmp|log/wtmp|log/lastlog|log/btmp|log/dmesg|log/kern.log|log/cron|log/daemon.log|log/dpkg.log|log/user.log|log/yum.log|log/boot.log|log/maillog|log/faillog|spool/cron/root|adm/log/xferlog|backups/passwd.bak»", "Library/WebServer/Documents/index.php", "Users/«word»/.ssh/id_rsa", "bin/«=sh|bash|ls|id»", "usr/bin/«=id|python|perl|wget»", "system/build.prop", "data/data/com.«rand».«rand»/databases/«rand».db", "mnt/«rand»/«svcfile»", "boot/grub/grub.cfg", "sys/class/net/eth0/address", "run/secrets/«rand»"]),
    ("wfile", &["windows/system32/«=config/sam|config/system|config/software|config/security|config/AppEvent.Evt|drivers/etc/hosts|drivers/etc/networks|drivers/etc/services|drivers/etc/lmhosts.sam|logfiles/w3svc1/ex«n».log|inetsrv/metabase.xml|inetsrv/config/schema/aspnet_schema.xml|eula.txt|winevt/logs/«rand».evtx|cmd.exe|calc.exe|wbem/«rand».mof»", "windows/«=win.ini|system.ini|php.ini|my.ini|explorer.exe|repair/system|setuperr.log|windowsupdate.log|panther/unattended.xml|debug/netsetup.log|temp/sess_«hex32»|notepad.exe|«rand».log»", "«=xampp|wamp|wamp64|appserv|lampp|ampps|easyphp|mamp»/«=apache|mysql|php|phpmyadmin|filezillaftp|mercurymail|tomcat|htdocs|sendmail|webalizer»/«=conf|logs|bin|data|»/«svcfile»", "program files«=| (x86)»/«svc»/«=conf|bin|logs|data|»/«svcfile»", "program files/«=mysql/mysql server 5.«digit»|apache group/apache2|apache software foundation/tomcat 9.0|filezilla server|mariadb 10.«digit»|postgresql/1«digit»»/«svcfile»", "users/«=administrator|«word»|public|default»/«=ntuser.dat|desktop/«rand».txt|.ssh/id_rsa|.aws/credentials|appdata/roaming/«rand»/«rand».xml|documents/«rand».docx|appdata/local/temp/«rand».tmp»", "inetpub/«=wwwroot|logs|ftproot|mailroot|history»/«=web.config|global.asa|default.aspx|iisstart.htm|logfiles/w3svc1/u_ex«n».log|«appfile»»", "documents and settings/«=administrator|«word»»/«=ntuser.dat|ntuser.ini|desktop/«rand».txt|cookies/index.dat»", "«svc»/«=conf|bin|data|logs|»/«svcfile»", "recycler/s-1-5-«n»/«rand»", "programdata/«=microsoft/search/data|mysql|«svc»»/«svcfile»", "winnt/«=win.ini|system32/cmd.exe|repair/sam._|system32/drivers/etc/hosts»"]),
    ("winfile", &["windows/win.ini", "windows/win.ini", "windows/win.ini", "boot.ini", "boot.ini", "windows/system32/drivers/etc/hosts", "windows/system.ini", "windows/win.ini", "«wfile»", "«wfile»", "«wfile»", "«wfile»", "«wfile»", "«wfile»", "«wfile»", "«wfile»", "«wfile»", "«wfile»", "«wfile»", "«wfile»", "windows/system32/drivers/etc/hosts", "boot.ini", "winnt/win.ini", "windows/system32/config/sam", "inetpub/wwwroot/web.config", "windows/repair/sam", "windows/system.ini", "users/administrator/ntuser.dat", "windows/system32/cmd.exe", "program files/«rand»/config.ini", "windows/system32/inetsrv/config/applicationhost.config", "windows/php.ini", "xampp/apache/conf/httpd.conf", "xampp/php/php.ini", "windows/debug/netsetup.log", "windows/panther/unattend.xml", "windows/system32/license.rtf", "windows/system32/config/regback/system", "inetpub/logs/logfiles/w3svc1/u_ex«n».log", "users/«word»/desktop/«rand».txt", "program files/microsoft sql server/mssql.1/mssql/data/master.mdf", "windows/iis«digit».log", "programdata/«rand»/«rand».xml", "autoexec.bat", "pagefile.sys", "windows/temp/«rand».tmp", "mysql/data/mysql/user.myd", "apache/logs/access.log", "tomcat/conf/server.xml"]),
    ("appfile", &["WEB-INF/web.xml", "web.config", "wp-config.php", ".env", ".git/config", "config/database.yml", "app/etc/local.xml", "config.php", "application.properties", "settings.py", "index.php", "META-INF/MANIFEST.MF", "includes/config.inc.php", "package.json", ".htaccess", ".htpasswd", "WEB-INF/classes/application.yml", "WEB-INF/spring-servlet.xml", "app/config/parameters.yml", "config/secrets.yml", "config/master.key", "configuration.php", "sites/default/settings.php", "LocalSettings.php", "appsettings.json", "Global.asax", "bin/«rand».dll", "conf/tomcat-users.xml", "storage/logs/laravel.log", "Gemfile", "app.py", "server.js", "db.sqlite3", "docker-compose.yml", "Dockerfile", "composer.json", "inc/db.inc", "admin/config.php"]),
    ("svc", &["apache", "apache2", "httpd", "nginx", "lighttpd", "mysql", "mysqld", "mariadb", "postgresql", "mongodb", "redis", "tomcat", "jboss", "wildfly", "weblogic", "jetty", "php", "php5", "php7", "ssh", "sshd", "vsftpd", "proftpd", "ftpd", "exim", "exim4", "postfix", "sendmail", "dovecot", "samba", "squid", "bind", "named", "cups", "snmp", "openvpn", "openldap", "ldap", "nagios", "zabbix", "grafana", "jenkins", "gitlab", "docker", "rabbitmq", "elasticsearch", "kibana", "memcached", "haproxy", "varnish", "webmin", "cpanel", "plesk", "asterisk", "nfs", "cron", "rsyslog", "supervisor", "pam.d", "ssl", "letsencrypt", "network", "sysconfig", "default", "«rand»", "«rand»", "«rand»"]),
    ("svcfile", &["«svc».conf", "«svc».conf", "«svc».cfg", "«svc».ini", "«svc»d.conf", "config", "main.cf", "users.xml", "server.xml", "«rand».conf", "conf.d/«rand».conf", "«svc».yml", "«svc».log", "access.log", "error.log", "access_log", "error_log", "passwd", "shadow", "users", "«svc».passwd", "«svc».pid", "ssl.key", "private/«rand».key", "modules.conf", "sites-available/default", "«rand».xml", "my.cnf", "«svc».db", "LICENSE", "README", "«svc»rc", "secrets.ldb", "keytab", "«svc».properties"]),
    ("anyfile", &["«unixfile»", "«unixfile»", "«unixfile»", "«winfile»", "«appfile»"]),
];
