//! Words that the tokenizers tell apart. Not here: grammar.

use std::hash::{Hash, Hasher};
use std::sync::LazyLock;

use hashbrown::HashMap;

pub(super) const BOOLEAN: u32 = 1;
pub(super) const COMPARE: u32 = 1 << 1;
pub(super) const VERB: u32 = 1 << 2;
/// Functions that only SQL has.
pub(super) const FUNCTION: u32 = 1 << 3;
/// Functions that other languages have too.
pub(super) const COMMON: u32 = 1 << 4;
pub(super) const DELAY: u32 = 1 << 5;
pub(super) const KEYWORD: u32 = 1 << 6;
pub(super) const LITERAL: u32 = 1 << 7;
/// Names of programs that prose hardly has.
pub(super) const COMMAND: u32 = 1 << 8;
/// Names of programs that are words as well.
pub(super) const COMMAND_WORD: u32 = 1 << 9;
pub(super) const SINK: u32 = 1 << 10;
pub(super) const OBJECT: u32 = 1 << 11;
pub(super) const ACTIVE: u32 = 1 << 12;
pub(super) const SCHEME: u32 = 1 << 13;
pub(super) const HEADER: u32 = 1 << 14;
/// Functions of servers' languages that run or open what they are given.
pub(super) const DANGER: u32 = 1 << 15;
pub(super) const OPERATOR: u32 = 1 << 16;
pub(super) const THING: u32 = 1 << 17;
pub(super) const PROPERTY: u32 = 1 << 18;
/// Commands that are complete without arguments.
pub(super) const ALONE: u32 = 1 << 19;
pub(super) const FILE: u32 = 1 << 20;
pub(super) const FOLDER: u32 = 1 << 21;

/// Whatever SQL has a meaning for, in a position where a blank is due.
pub(super) const SQL: u32 = BOOLEAN | COMPARE | VERB | KEYWORD;

/// No word of the tables is longer.
const LONGEST: usize = 24;

const TABLES: &[(u32, &str)] = &[
    (BOOLEAN, "or and xor"),
    (
        COMPARE,
        "like rlike regexp between in is glob similar sounds div mod ilike",
    ),
    (
        VERB,
        "select insert update delete drop alter create truncate exec execute declare shutdown waitfor merge call copy
replace load set handler backup",
    ),
    (
        FUNCTION,
        "group_concat concat_ws extractvalue updatexml load_file pg_sleep benchmark xmltype randomblob make_set unhex
ifnull nullif isnull coalesce load_extension string_agg listagg json_keys gtid_subset polygon linestring multipoint multipolygon
multilinestring geometrycollection row_count found_rows last_insert_id current_user session_user system_user schema_name db_name host_name
is_srvrolemember is_member has_dbaccess pg_read_file pg_ls_dir query_to_xml database_to_xml lo_import dbms_lock utl_http utl_inaddr
xp_cmdshell xp_dirtree sp_executesql openrowset openquery sqlite_version bin_to_uuid char_length character_length to_char to_number
name_const exp procedure_analyse analyse substr ascii ord chr decode_base64 to_base64 from_base64 elt strcmp bit_length octet_length",
    ),
    (
        COMMON,
        "char concat substring mid length len left right count if iif version user database hex cast convert floor rand
max min sum avg lower upper bin oct conv md5 sha1 sha instr locate position replace reverse space trim ltrim rtrim round ceil abs now
date year month day sign sqrt pow power exists sleep values decode encode case",
    ),
    (DELAY, "sleep pg_sleep benchmark waitfor randomblob receive_message"),
    (
        KEYWORD,
        "union from where having by order group limit offset into values not as case when then else end exists all
distinct top outfile dumpfile procedure set table using on escape binary collate delay",
    ),
    (LITERAL, "true false null"),
    (THING, "table database schema user view function procedure index login role trigger column"),
    (
        COMMAND,
        "wget curl nslookup whoami ifconfig ipconfig netcat nc ncat bash sh zsh ksh csh dash ash powershell pwsh
powershell.exe uname chmod chown python python2 python3 perl ruby telnet socat systeminfo netstat tasklist dig certutil bitsadmin wmic
regsvr32 rundll32 mshta cscript wscript crontab useradd lsof mkfifo base64 xxd awk gawk sed egrep grep fgrep tftp rm mv cp ls ps cmd
cmd.exe pwd printenv nmap tcpdump traceroute tracert xargs nohup sudo su mkdir rmdir ln lsb_release dmesg taskkill schtasks busybox
openssl gcc scp ssh tar gzip gunzip unzip wc uniq tac nl rev od strings readlink stat hostname ipcs arp route iptables systemctl
findstr icacls attrib nltest vssadmin reg.exe net.exe ping.exe telnet.exe nslookup.exe curl.exe whoami.exe killall pkill mknod setenv
phpinfo lua tclsh gdb strace dd df du lsblk printf getent netsh nc.exe",
    ),
    (
        COMMAND_WORD,
        "cat id echo ping sleep type dir more find head tail sort set net date who time kill touch host last exit
test less ver copy del start wait mail top man cut tee env node php java go install vi vim nano ed ex reboot shutdown history finger
eval exec source timeout jobs alias export help init cal groups users uptime free mount fold split paste join look xterm reg",
    ),
    (ALONE, "id dir ver who env uptime ls ps pwd whoami ifconfig ipconfig uname hostname netstat tasklist systeminfo df"),
    (
        SINK,
        "alert confirm prompt eval fetch settimeout setinterval setimmediate execscript importscripts atob unescape
fromcharcode import print xmlhttprequest sendbeacon createelement appendchild documentwrite writeln insertadjacenthtml
decodeuricomponent expression showmodaldialog function constructor",
    ),
    (OBJECT, "document window self top parent frames this globalthis navigator opener localstorage sessionstorage"),
    (
        PROPERTY,
        "cookie domain write writeln location body createelement getelementbyid getelementsbytagname queryselector
execcommand open alert eval name atob innerhtml outerhtml src href constructor sendbeacon documentelement appendchild referrer
defaultview getitem forms scripts close",
    ),
    (
        ACTIVE,
        "script iframe object embed applet frame frameset base meta svg math isindex xml xss bgsound marquee portal
foreignobject animate set handler listener noembed noscript xmp plaintext layer ilayer",
    ),
    (
        SCHEME,
        "php file gopher dict jar expect phar zip zlib glob ssh2 ogg ldap ldaps rmi tftp netdoc sftp smb nfs rar imap
local_file view-source data",
    ),
    (
        HEADER,
        "set-cookie location content-type content-length content-disposition host refresh link status
transfer-encoding bcc cc to from subject reply-to mime-version received cookie user-agent referer accept authorization connection
x-forwarded-for x-forwarded-host return-path message-id sender date
www-authenticate content-security-policy last-modified cache-control expires etag server x-injected header-test x-test injected",
    ),
    (
        DANGER,
        "system exec passthru shell_exec popen proc_open pcntl_exec assert eval phpinfo file_get_contents
file_put_contents base64_decode call_user_func call_user_func_array create_function preg_replace include include_once require
require_once unserialize readfile fopen show_source highlight_file scandir var_dump print_r die __import__ execfile getattr
spawn spawnsync execsync execfilesync importlib open_basedir array_map array_filter usort md5 fwrite fputs move_uploaded_file opendir
constantize instance_eval class_eval loads gettype getmethod createobject responsewrite exec_sync readfilesync compile",
    ),
    (
        OPERATOR,
        "ne eq gt gte lt lte nin in nor not or and where regex exists expr mod elemmatch all size type options func
function accumulator jsonschema text search lookup match unionwith",
    ),
    (
        FILE,
        "passwd shadow hosts win.ini boot.ini system.ini web.config .htaccess .htpasswd .env wp-config.php id_rsa id_dsa
authorized_keys known_hosts .bash_history .mysql_history environ cmdline php.ini httpd.conf apache2.conf nginx.conf my.cnf my.ini
web.xml server.xml tomcat-users.xml config.inc.php localsettings.php configuration.php settings.php database.yml secrets.yml
access.log error.log access_log error_log auth.log .git-credentials .gitconfig .npmrc .dockerenv docker-compose.yml global.asa
group issue motd sudoers crontab fstab resolv.conf cmd.exe sam repair ntuser.dat shadow- passwd- version mounts fd .ds_store
credentials hostname master.passwd security.config machine.config applicationhost.config phpinfo.php",
    ),
    (
        FOLDER,
        "etc proc self windows winnt system32 .ssh .aws .git .svn web-inf meta-inf log logs drivers config conf
apache apache2 httpd nginx root .kube .docker inetpub inetsrv mysql",
    ),
];

/// The classes of each word, and its length: a byte that is zero does not show in what it is found by.
static WORDS: LazyLock<HashMap<Folded, (u32, usize), foldhash::fast::FixedState>> =
    LazyLock::new(|| {
        let mut words = HashMap::with_hasher(foldhash::fast::FixedState::default());
        for (bits, word) in entries() {
            words.entry(folded(word)).or_insert((0, word.len())).0 |= bits;
        }
        words
    });

/// Words with their classes.
fn entries() -> impl Iterator<Item = (u32, &'static [u8])> {
    let words = |(bits, list): &(u32, &'static str)| {
        let bits = *bits;
        let words = list.split_ascii_whitespace();
        words.map(move |word| (bits, word.as_bytes()))
    };
    TABLES.iter().flat_map(words)
}

/// The bytes of a word in lower case, as numbers: for so few, copying and comparing slices takes longer.
#[derive(PartialEq, Eq)]
struct Folded([u64; LONGEST / 8]);

impl Hash for Folded {
    /// Number by number: as an array they would be hashed as bytes, like a text of any length.
    fn hash<H: Hasher>(&self, state: &mut H) {
        for number in self.0 {
            state.write_u64(number);
        }
    }
}

/// At most [`LONGEST`] bytes of a word.
fn folded(word: &[u8]) -> Folded {
    let mut folded = [0; LONGEST / 8];
    for (number, bytes) in folded.iter_mut().zip(word.chunks(8)) {
        for (at, byte) in bytes.iter().enumerate() {
            *number |= u64::from(byte.to_ascii_lowercase()) << (8 * at);
        }
    }
    Folded(folded)
}

/// Which lengths words have that begin with a byte, as bits: most words of a text need not be looked up.
static LENGTHS: LazyLock<[u64; 256]> = LazyLock::new(|| {
    let mut lengths = [0; 256];
    for (_, word) in entries() {
        let first = word
            .first()
            .and_then(|byte| lengths.get_mut(usize::from(*byte)));
        if let Some(lengths) = first {
            *lengths |= 1u64.checked_shl(word.len() as u32).unwrap_or(0);
        }
    }
    lengths
});

/// The classes of a word, whatever its case; 0 for one that no table has.
pub(super) fn bits(word: &[u8]) -> u32 {
    let first = word.first().map_or(0, u8::to_ascii_lowercase);
    let lengths = LENGTHS.get(usize::from(first)).copied().unwrap_or(0);
    if lengths.checked_shr(word.len() as u32).unwrap_or(0) & 1 == 0 {
        return 0;
    }
    match WORDS.get(&folded(word)) {
        Some(&(bits, length)) if length == word.len() => bits,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use proptest::prelude::*;

    use super::{LONGEST, bits, entries};

    fn written(word: &[u8]) -> u32 {
        let same = entries().filter(|(_, entry)| word.eq_ignore_ascii_case(entry));
        same.fold(0, |all, (bits, _)| all | bits)
    }

    #[test]
    fn each_word_has_the_classes_of_all_its_tables() {
        for (_, word) in entries() {
            assert!(word.len() <= LONGEST, "{}", word.escape_ascii());
            assert_eq!(bits(word), written(word), "{}", word.escape_ascii());
            assert_eq!(bits(&word.to_ascii_uppercase()), written(word));
        }
    }

    proptest! {
        #[test]
        fn what_is_nearly_a_word_is_none(at in any::<prop::sample::Index>(), change in any::<(prop::sample::Index, u8)>(), more in "\\PC{0,2}|\0") {
            let entries: Vec<_> = entries().collect();
            let mut word = at.get(&entries).1.to_vec();
            word.extend(more.bytes());
            prop_assert_eq!(bits(&word), written(&word));
            *change.0.get_mut(&mut word) = change.1;
            prop_assert_eq!(bits(&word), written(&word));
        }
    }
}
