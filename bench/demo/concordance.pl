# SPDX-License-Identifier: MIT
#
# concordance.pl FOLDER - prints the words of the texts in FOLDER, each with its neighbours; the
# anagrams among them; and all texts as one string in which each word has its number.
use strict;
use warnings;
use File::Glob ':bsd_glob'; # a space in FOLDER is a part of its name

my (%beside, %anagrams);
my $all = '';
for my $file (sort glob "$ARGV[0]/*") {
    open my $text, '<:raw', $file or die "$file: $!";
    while (my $line = <$text>) {
        $all .= $line;
        my @words = map { lc } $line =~ /([A-Za-z_]+)/g;
        $beside{ $words[$_ - 1] }{ $words[$_] }++ for 1 .. $#words;
    }
}

for my $word (sort keys %beside) {
    my $next = $beside{$word};
    push @{ $anagrams{ join '', sort split //, $word } }, $word;
    my @neighbours = sort { $next->{$b} <=> $next->{$a} || $a cmp $b } keys %$next;
    print "$word: ", join(' ', map { "$_ $next->{$_}" } @neighbours), "\n";
}
print join(' ', @$_), "\n" for grep { @$_ > 1 } map { $anagrams{$_} } sort keys %anagrams;

my %number;
$all =~ s/([A-Za-z_]+)/"$1#" . ++$number{$1}/ge;
print $all;
