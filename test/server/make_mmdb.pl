#!/usr/bin/perl
# Makes a small MMDB file: make_mmdb.pl FILE SCHEMA NETWORK=VALUE ...
#   SCHEMA asn      { autonomous_system_number: VALUE }
#          country  { country: { iso_code: VALUE } }
#          code     { country_code: VALUE }
#          text     { asn: VALUE, country: VALUE }, of texts, as "AS64500,de"
#          nothing  { note: VALUE }
use strict;
use warnings;
use MaxMind::DB::Writer::Tree;

my ($file, $schema, @networks) = @ARGV;
my %types = (autonomous_system_number => 'uint32', country => $schema eq 'text' ? 'utf8_string' : 'map',
    iso_code => 'utf8_string', country_code => 'utf8_string', asn => 'utf8_string', note => 'utf8_string');
my %entries = (
    asn => sub { { autonomous_system_number => $_[0] } },
    country => sub { { country => { iso_code => $_[0] } } },
    code => sub { { country_code => $_[0] } },
    text => sub { my ($asn, $country) = split /,/, $_[0]; { asn => $asn, country => $country } },
    nothing => sub { { note => $_[0] } },
);
my $tree = MaxMind::DB::Writer::Tree->new(
    ip_version => (grep { /:/ } @networks) ? 6 : 4, record_size => 24, database_type => "Test-$schema", languages => ['en'],
    description => { en => 'of a test' }, map_key_type_callback => sub { $types{ $_[0] } }, remove_reserved_networks => 0);
for (@networks) {
    my ($network, $value) = split /=/;
    $tree->insert_network($network, $entries{$schema}->($value));
}
open my $out, '>:raw', $file or die "$file: $!";
$tree->write_tree($out);
close $out or die "$file: $!";
