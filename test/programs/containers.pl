# Exercises perl: hashes, regular expressions, sorting, deep structures, a child process, and
# threads if perl has them.
use strict;
use warnings;
use Config;

my $seed = 12345;
sub number { return $seed = ($seed * 1103515245 + 12345) % 2**31 }

my %count;
for (1 .. 150_000) {
    my $n = number();
    push @{ $count{ 'key' . $n % 20011 } }, $n % 1000;
    delete $count{ 'key' . $n % 499 } if $n % 7 == 0;
}
my @keys = sort { @{ $count{$b} } <=> @{ $count{$a} } or $a cmp $b } keys %count;
printf "hashes %d %s\n", scalar @keys, unpack '%32C*', join ',', map { @{ $count{$_} } } @keys;

my $text = join ' ', map { number() . '-' . chr(97 + $_ % 26) x ($_ % 40) } 1 .. 20_000;
my %runs;
$runs{$2}++ while $text =~ /(\d+)-((\w)\3{5,})/g;
printf "expressions %d %s\n", length $text, join ',', map { "$_=$runs{$_}" } sort keys %runs;
(my $changed = $text) =~ s/(\d+)-(\w*)/$2:$1/g;
printf "replaced %d %s\n", length $changed, unpack '%32C*', $changed;

my $grown = '';
$grown .= pack 'Nn', number(), $_ % 65536 for 1 .. 100_000;
printf "grown %d %s\n", length $grown, unpack '%32C*', $grown;

sub tree {
    my $depth = shift;
    return $depth ? [ tree($depth - 1), $depth, tree($depth - 1) ] : 'leaf'
}
sub leaves { my $t = shift; return ref $t ? leaves($t->[0]) + leaves($t->[2]) : 1 }
printf "trees %s\n", join ' ', map { leaves(tree($_)) } 1 .. 14;

my $pid = open my $pipe, '-|' or 0;
if (!$pid) {
    print join ',', map { number() % 10 } 1 .. 20_000;
    exit 3;
}
my $line = do { local $/; <$pipe> };
close $pipe;
printf "child %d %d\n", length $line, $? >> 8;

if ($Config{useithreads}) {
    require threads;
    my @threads = map {
        my $n = $_;
        threads->create(sub { my %h = map { $_ * $n => "v$_" } 1 .. 3000; scalar keys %h })
    } 1 .. 8;
    printf "threads %s\n", join ' ', map { $_->join } @threads;
}
