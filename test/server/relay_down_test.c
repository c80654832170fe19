#include "test/server/relay_help.h"

static void test_name_unknown(void **state)
{
	(void)state;
	struct parcel parcel = parcel_of(TEXT);
	int64_t in;
	const char *reason;
	open_relay(1, (const char *const[]){ "nowhere.invalid" }, 16);
	send_parcel(&parcel);
	run_until_done(1);
	assert_result(&parcel, "untried");
	assert_true(relay_is_down(relay, &in, &reason));
	assert_non_null(strstr(reason, "nowhere.invalid"));
	close_relay();
}

/* Many at a time, never more links than allowed, each mail once. */
static void test_many(void **state)
{
	(void)state;
	static struct parcel parcels[500];
	open_relay(1, (const char *const[]){ "127.0.0.1" }, 7);
	assert_int_equal(relay_room(relay), 1); /* unknown yet: a probe */
	for (size_t i = 0; i < COUNT(parcels); i++) {
		parcels[i] = parcel_of(TEXT);
		send_parcel(&parcels[i]);
	}
	assert_int_equal(relay_room(relay), 0);
	run_until_done(COUNT(parcels));
	for (size_t i = 0; i < COUNT(parcels); i++) {
		assert_result(&parcels[i], "answered 250,250,250");
	}
	assert_int_equal(fake_count(&fakes[0], &fakes[0].nmails), COUNT(parcels));
	assert_in_range(fake_count(&fakes[0], &fakes[0].most_at_once), 2, 7);
	run_for(10);
	assert_int_equal(relay_room(relay), 7);
	close_relay();
}

/* RX12: dead. One connection a back-off, however many mails there are; all UNTRIED; back when
 * it is back. */
static void test_RX12_down_and_back(void **state)
{
	(void)state;
	static struct parcel parcels[100];
	struct parcel later = parcel_of(TEXT);
	int64_t in;
	const char *reason;
	fake_rules(&fakes[0], (const struct fake_rule[]){ { "<", "421 4.3.2 no!", 0 }, { 0 } });
	open_one();
	for (size_t i = 0; i < COUNT(parcels); i++) {
		parcels[i] = parcel_of(TEXT);
		send_parcel(&parcels[i]);
	}
	run_until_done(COUNT(parcels));
	for (size_t i = 0; i < COUNT(parcels); i++) {
		assert_result(&parcels[i], "untried");
	}
	assert_true(relay_is_down(relay, &in, &reason));
	assert_in_range(in, 800, 1100);
	assert_string_equal(reason, "421 no");
	assert_int_equal(relay_room(relay), 0);
	assert_int_equal(fake_count(&fakes[0], &fakes[0].connections), 1);
	fake_rules(&fakes[0], NULL);
	nroom = 0;
	run_for(1300);
	assert_true(nroom > 0);
	assert_int_equal(relay_room(relay), 1);
	assert_true(relay_is_down(relay, &in, &reason)); /* until it was seen to be up */
	send_parcel(&later);
	run_until_done(COUNT(parcels) + 1);
	assert_result(&later, "answered 250,250,250");
	assert_false(relay_is_down(relay, &in, &reason));
	assert_int_equal(nback, 1);
	close_relay();
}

/* `gatepostctl queue flush`. */
static void test_wake(void **state)
{
	(void)state;
	struct parcel first = parcel_of(TEXT), second = parcel_of(TEXT);
	fake_rules(&fakes[0], (const struct fake_rule[]){ { "<", "421 4.3.2 no!", 1 }, { 0 } });
	open_one();
	send_parcel(&first);
	run_until_done(1);
	assert_int_equal(relay_room(relay), 0);
	relay_wake(relay);
	assert_int_equal(relay_room(relay), 1);
	send_parcel(&second);
	run_until_done(2);
	assert_result(&second, "answered 250,250,250");
	close_relay();
}

/* It takes three links and refuses more: full, not down; all mail goes over the three. */
static void test_crowded(void **state)
{
	(void)state;
	static struct parcel parcels[60];
	int64_t in;
	const char *reason;
	open_one();
	/* The first link's 220, then two more, then no. */
	fake_rules(&fakes[0], (const struct fake_rule[]){ { "<", "220 come in", 3 },
	                                                  { "<", "421 4.7.0 too many!", 0 },
	                                                  { 0 } });
	for (size_t i = 0; i < COUNT(parcels); i++) {
		parcels[i] = parcel_of(TEXT);
		send_parcel(&parcels[i]);
	}
	run_until_done(COUNT(parcels));
	for (size_t i = 0; i < COUNT(parcels); i++) {
		assert_result(&parcels[i], "answered 250,250,250");
	}
	assert_false(relay_is_down(relay, &in, &reason));
	close_relay();
}

/* The first is dead: the second takes all; when the first is back, it takes what comes. */
static void test_two_smarthosts(void **state)
{
	(void)state;
	fake_rules(&fakes[0], (const struct fake_rule[]){ { "<", "!", 0 }, { 0 } });
	open_relay(2, (const char *const[]){ "127.0.0.1", "127.0.0.1" }, 4);
	for (size_t i = 0; i < 5; i++) {
		struct parcel parcel = parcel_of(TEXT);
		send_parcel(&parcel);
		run_until_done(i + 1);
		assert_result(&parcel, "answered 250,250,250");
	}
	assert_int_equal(fake_count(&fakes[1], &fakes[1].nmails), 5);
	assert_int_equal(fake_count(&fakes[0], &fakes[0].connections), 1);
	fake_rules(&fakes[0], NULL);
	run_for(1200);
	for (size_t i = 5; i < 15; i++) {
		struct parcel parcel = parcel_of(TEXT);
		send_parcel(&parcel);
		run_until_done(i + 1);
		assert_result(&parcel, "answered 250,250,250");
		run_for(5);
	}
	assert_true(fake_count(&fakes[0], &fakes[0].nmails) >= 8);
	assert_int_equal(fakes[0].nmails + fakes[1].nmails, 15);
	close_relay();
}

/* Three cuts in a row are down, too. */
static void test_cuts(void **state)
{
	(void)state;
	int64_t in;
	const char *reason;
	fake_rules(&fakes[0], (const struct fake_rule[]){ { "DATA", "!", 0 }, { 0 } });
	open_one();
	for (size_t i = 0; i < 3; i++) {
		struct parcel parcel = parcel_of(TEXT);
		assert_false(relay_is_down(relay, &in, &reason));
		send_parcel(&parcel);
		run_until_done(i + 1);
		assert_result(&parcel, "broken 0,0,0");
	}
	run_for(5);
	assert_true(relay_is_down(relay, &in, &reason));
	assert_int_equal(relay_room(relay), 0);
	close_relay();
}

/* A smarthost that goes from the configuration: what is on its way there ends there. */
static void test_reload(void **state)
{
	(void)state;
	struct parcel old = parcel_of(TEXT), fresh = parcel_of(TEXT);
	fake_rules(&fakes[0], (const struct fake_rule[]){ { ".", "", 0 }, { 0 } });
	open_one();
	send_parcel(&old);
	run_for(50);
	struct config *before = config;
	struct fake other = fakes[0];
	fakes[0].port = fakes[1].port;
	make_config(1, (const char *const[]){ "127.0.0.1" }, 16);
	fakes[0].port = other.port;
	relay_reload(relay, config);
	config_unref(before);
	send_parcel(&fresh);
	run_until_done(1);
	assert_result(&fresh, "answered 250,250,250");
	assert_int_equal(fake_count(&fakes[1], &fakes[1].nmails), 1);
	fake_cut_all(&fakes[0]);
	run_until_done(2);
	assert_result(&old, "broken? 0,0,0");
	close_relay();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_name_unknown, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_RX12_down_and_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wake, setup, teardown),
		cmocka_unit_test_setup_teardown(test_crowded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_smarthosts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cuts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reload, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
