# DBD::Pg: server-side prepared statements, catalog methods.
use strict;
use warnings;
use DBI;
use DBD::Pg qw(:pg_types);

my $db = DBI->connect('dbi:Pg:', $ENV{PGUSER}, $ENV{PGPASSWORD}, { RaiseError => 1, PrintError => 0, AutoCommit => 1 });
my $every_byte = join '', map { chr } 0 .. 255;

sub equal {
    my ($got, $want) = map { defined $_ ? $_ : '(undef)' } @_;
    die "got $got, want $want\n" unless $got eq $want;
}

sub put {
    my ($key, $value) = @_;
    my $s = $db->prepare("SELECT cache_put('dbdpg', ?, ?)");
    $s->bind_param(1, $key);
    $s->bind_param(2, $value, { pg_type => PG_BYTEA });
    $s->execute;
}

sub get { return scalar $db->selectrow_array("SELECT value FROM blob WHERE ns = 'dbdpg' AND key = ?", undef, shift) }

my @steps = (
    connect => sub { equal(scalar $db->selectrow_array('SELECT 1'), 1) },
    text    => sub {
        put('text', 'hello');
        equal(scalar $db->selectrow_array("SELECT value_text FROM blob WHERE ns = 'dbdpg' AND key = ?", undef, 'text'), 'hello');
    },
    binary => sub { put('bytes', $every_byte); equal(get('bytes'), $every_byte) },
    error  => sub {
        eval { $db->do("INSERT INTO blob (ns, key, value) VALUES ('dbdpg', 'text', 'again')"); 1 } and die "no error\n";
        equal($db->state, '23505');
    },
    transaction => sub {
        $db->begin_work; put('tx', 'rolled back'); $db->rollback;
        equal(get('tx'), undef);
        $db->begin_work; put('tx', 'committed'); $db->commit;
        equal(get('tx'), 'committed');
    },
    invalidate => sub {
        $db->selectrow_array("SELECT cache_put('dbdpg', 'tagged', 'x', tags => ?)", undef, ['t']);
        equal(scalar $db->selectrow_array("SELECT invalidate_tags('dbdpg', 't')"), 1);
        equal(get('tagged'), undef);
    },
    introspect => sub {
        my %columns = map { $_->{COLUMN_NAME} => $_->{TYPE_NAME} } @{ $db->column_info(undef, 'public', 'blob', '%')->fetchall_arrayref({}) };
        equal($columns{value}, 'bytea');
        equal(join(',', $db->primary_key(undef, 'public', 'blob')), 'ns,key');
        die "no table\n" unless grep { /blob/ } $db->tables(undef, 'public', 'blob', 'TABLE');
    },
    more => sub {
        $db->do("COPY blob (ns, key, value) FROM STDIN");
        $db->pg_putcopydata("dbdpg\tcopied\t\\\\x78\n");
        $db->pg_putcopyend;
        equal(get('copied'), 'x');
        equal(scalar @{ $db->selectall_arrayref("SELECT key FROM blob WHERE ns = 'dbdpg' AND key LIKE 'co%'") }, 1);
    },
);
while (my ($name, $step) = splice @steps, 0, 2) {
    if (eval { $step->(); 1 }) { print "$name: ok\n" }
    else                       { my ($line) = split /\n/, $@; print "$name: $line\n" }
}
