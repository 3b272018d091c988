/* The flags of mg, ms, md, ma and me. In a trace the flags given stand in alphabetical order, with what
 * their tokens were read as; order= has the return flags as they were asked for. */
#include <criterion/criterion.h>

#include "tests/support/parse_expect.h"

PARSER_SUITE(meta_parse);

#define BAD_TOKEN "error CLIENT_ERROR bad token in command line format"
#define INVALID "error CLIENT_ERROR invalid flag"
#define DUPLICATE "error CLIENT_ERROR duplicate flag"
#define BAD_KEY "error CLIENT_ERROR error decoding key"
#define TOO_LONG "error CLIENT_ERROR options flags are too long"
#define OPAQUE_31 "0123456789012345678901234567890"

Test(meta_parse, a_key_alone_is_enough)
{
	EXPECT("mg k\r\n", "mg k\n");
	EXPECT("md k\r\n", "md k\n");
	EXPECT("ma k\r\n", "ma k\n");
	EXPECT("me k\r\n", "me k\n");
	EXPECT("mg k\n", "mg k\n");
	EXPECT("mg " KEY_250 "\r\n", "mg " KEY_250 "\n");
}

Test(meta_parse, too_few_tokens_and_long_keys_are_badly_formed)
{
	EXPECT("mg\r\n", BAD_FORMAT "\n");
	EXPECT("md \r\n", BAD_FORMAT "\n");
	EXPECT("ma\r\n", BAD_FORMAT "\n");
	EXPECT("me\r\n", BAD_FORMAT "\n");
	EXPECT("ms\r\n", BAD_FORMAT "\n");
	EXPECT("ms k\r\n", BAD_FORMAT "\n");
	EXPECT("mg " KEY_250 "y v\r\n", BAD_FORMAT "\n");
	EXPECT("me " KEY_250 "y\r\n", BAD_FORMAT "\n");
	EXPECT("ms " KEY_250 "y 1\r\nx\r\nmn\r\n", BAD_FORMAT " swallow=3\nmn\n");
}

Test(meta_parse, flags_and_their_tokens_are_read)
{
	EXPECT("mg k v\r\n", "mg k v\n");
	EXPECT("mg k  s  t   v \r\n", "mg k s t v order=st\n");
	EXPECT("mg k t f h l c s k q u O1\r\n", "mg k O1 c f h k l q s t u order=tfhlcskO\n");
	EXPECT("mg k N30 T-1 R0 E5\r\n", "mg k E5 N30 R0 T-1 order=NTR\n");
	EXPECT("md k I T5 C18446744073709551615 x q\r\n",
	       "md k C18446744073709551615 I T5 q x order=T\n");
	EXPECT("ma k D5 J7 N0 MD v\r\n", "ma k D5 J7 MD N0 v order=N\n");
	EXPECT("mg k P/path L\r\n", "mg k L P\n");
}

Test(meta_parse, t_and_T_keep_their_order)
{
	EXPECT("mg k t T30\r\n", "mg k T30 t order=tT\n");
	EXPECT("mg k T30 t\r\n", "mg k T30 t order=Tt\n");
}

Test(meta_parse, every_command_takes_every_letter_memcached_knows)
{
	EXPECT("mg k F5 C6 D7 J8 MZ I x\r\n", "mg k C6 D7 F5 I J8 MZ x\n");
	EXPECT("ms k 0 v t h l f u J1\r\n\r\n", "ms k J1 f h l t u v order=thlf value=\r\n\n");
	EXPECT("mg k vfoo kbar qbaz\r\n", "mg k k q v order=k\n");
}

Test(meta_parse, ms_carries_its_block)
{
	EXPECT("ms k 3\r\nabc\r\n", "ms k value=abc\r\n\n");
	EXPECT("ms k 0 F5 T60 c\r\n\r\n", "ms k F5 T60 c order=Tc value=\r\n\n");
	EXPECT("ms k 2 ME Ox q\r\n\r\n\r\n", "ms k ME Ox q order=O value=\r\n\r\n\n");
}

Test(meta_parse, an_ms_without_a_known_length_swallows_nothing)
{
	EXPECT("ms k x\r\nmn\r\n", BAD_FORMAT "\nmn\n");
	EXPECT("ms k S3\r\nmn\r\n", BAD_FORMAT "\nmn\n");
	EXPECT("ms k -1\r\nmn\r\n", BAD_FORMAT "\nmn\n");
	EXPECT("ms k 2147483646\r\nmn\r\n", BAD_FORMAT "\nmn\n");
}

Test(meta_parse, unknown_letters_are_refused)
{
	EXPECT("mg k z\r\n", INVALID "\n");
	EXPECT("mg k S5\r\n", INVALID "\n");
	EXPECT("mg k W\r\n", INVALID "\n");
	EXPECT("mg k 1\r\n", INVALID "\n");
	EXPECT("mg k !\r\n", INVALID "\n");
	EXPECT("mg k [\r\n", INVALID "\n");
	EXPECT("mg k {\r\n", INVALID "\n");
	EXPECT("mg k \xe9\r\n", INVALID "\n");
	EXPECT("md k z\r\n", INVALID "\n");
	EXPECT("ma k z\r\n", INVALID "\n");
	EXPECT("ms k 1 z\r\nx\r\nmn\r\n", INVALID " swallow=3\nmn\n");
	EXPECT("mg k z z\r\n", INVALID "\n");
}

Test(meta_parse, ms_names_what_it_refers_to)
{
	EXPECT("ms k 1 Da Vb Hc\r\nx\r\n", "ms k D=a V=b H=c value=x\r\n\n");
	EXPECT("ms k 1 Da Da T5 Da\r\nx\r\n", "ms k T5 order=T D=a D=a D=a value=x\r\n\n");
	EXPECT("ms k 1 W Da\r\nx\r\n", "ms k W D=a value=x\r\n\n");
	EXPECT("ms a2V5 1 DZm9v b HYmFy\r\nx\r\n", "ms key b D=foo H=bar value=x\r\n\n");
	EXPECT("mg k w n v\r\n", "mg k n v w order=w\n");
}

Test(meta_parse, references_are_of_one_command)
{
	EXPECT("mg k Va\r\n", INVALID "\n");
	EXPECT("md k Ha\r\n", INVALID "\n");
	EXPECT("ma k W\r\n", INVALID "\n");
	EXPECT("md k w\r\n", INVALID "\n");
	EXPECT("ms k 1 n\r\nx\r\nmn\r\n", INVALID " swallow=3\nmn\n");
	EXPECT("mg k D7\r\n", "mg k D7\n");
}

#define TEN "0123456789"

Test(meta_parse, bad_references_are_named)
{
	EXPECT("ms k 1 D\r\nx\r\nmn\r\n", "error CLIENT_ERROR the target of a reference is no key swallow=3\nmn\n");
	EXPECT("ms k 0 W\r\n\r\nmn\r\n", "error CLIENT_ERROR the target of a reference is no key swallow=2\nmn\n");
	EXPECT("ms k 1 V" TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN
		       TEN TEN "1\r\nx\r\nmn\r\n",
	       "error CLIENT_ERROR the target of a reference is no key swallow=3\nmn\n");
	EXPECT("ms a2V5 1 b D!!\r\nx\r\nmn\r\n", "error CLIENT_ERROR error decoding key swallow=3\nmn\n");
	EXPECT("ms k 1 W MA\r\nx\r\nmn\r\n",
	       "error CLIENT_ERROR invalid mode for ms M token swallow=3\nmn\n");
	EXPECT("ms k 1 D1 D2 D3 D4 D5 D6 D7 D8 D9 D10 D11 D12 D13 D14 D15 D16\r\nx\r\n",
	       "ms k D=1 D=2 D=3 D=4 D=5 D=6 D=7 D=8 D=9 D=10 D=11 D=12 D=13 D=14 D=15 D=16 value=x\r\n\n");
	EXPECT("ms k 1 W D2 D3 D4 D5 D6 D7 D8 D9 D10 D11 D12 D13 D14 D15 D16 D17\r\nx\r\nmn\r\n",
	       "error CLIENT_ERROR too many references swallow=3\nmn\n");
}

Test(meta_parse, a_letter_given_twice_is_refused)
{
	EXPECT("mg k v v\r\n", DUPLICATE "\n");
	EXPECT("mg k T1 t T2\r\n", DUPLICATE "\n");
	EXPECT("ms k 1 T1 T1\r\nx\r\nmn\r\n", DUPLICATE " swallow=3\nmn\n");
	EXPECT("ma k q q\r\n", DUPLICATE "\n");
}

Test(meta_parse, bad_tokens_are_named)
{
	EXPECT("mg k T\r\n", BAD_TOKEN "\n");
	EXPECT("mg k Tx\r\n", BAD_TOKEN "\n");
	EXPECT("mg k T1x\r\n", BAD_TOKEN "\n");
	EXPECT("mg k T2147483648\r\n", BAD_TOKEN "\n");
	EXPECT("mg k N\r\n", BAD_TOKEN "\n");
	EXPECT("mg k R-\r\n", BAD_TOKEN "\n");
	EXPECT("mg k E-1\r\n", BAD_TOKEN "\n");
	EXPECT("md k Cx\r\n", BAD_TOKEN "\n");
	EXPECT("md k C18446744073709551616\r\n", BAD_TOKEN "\n");
	EXPECT("ms k 1 Fx\r\nx\r\nmn\r\n", BAD_FORMAT " swallow=3\nmn\n");
	EXPECT("ms k 1 F4294967296\r\nx\r\nmn\r\n", BAD_FORMAT " swallow=3\nmn\n");
	EXPECT("ms k 1 C\r\nx\r\nmn\r\n", BAD_TOKEN " swallow=3\nmn\n");
	EXPECT("ma k D-1\r\n", "error CLIENT_ERROR invalid numeric delta value\n");
	EXPECT("ma k J\r\n", "error CLIENT_ERROR invalid numeric initial value\n");
}

Test(meta_parse, of_several_mistakes_memcacheds_is_named)
{
	EXPECT("mg k Tx z\r\n", INVALID "\n");
	EXPECT("mg k z v v\r\n", INVALID "\n");
	EXPECT("mg k v v z\r\n", DUPLICATE "\n");
	EXPECT("mg ! b Tx\r\n", BAD_TOKEN "\n");
	EXPECT("mg ! Tx b\r\n", BAD_KEY "\n");
	EXPECT("ms k 1 MZ Tx\r\nx\r\n", BAD_TOKEN " swallow=3\n");
	EXPECT("ms k 1 O" OPAQUE_31 "x MZ\r\nx\r\n", "error CLIENT_ERROR invalid mode for ms M token swallow=3\n");
}

Test(meta_parse, twenty_tokens_are_taken_and_one_more_is_not)
{
	EXPECT("mg k c f h k l O q s t u v T1 N1 R1 P L F1 C1\r\n",
	       "mg k C1 F1 L N1 O P R1 T1 c f h k l q s t u v order=cfhklOstTNR\n");
	EXPECT("mg k c f h k l O q s t u v T1 N1 R1 P L F1 C1 D1\r\n", TOO_LONG "\n");
	EXPECT("mg k z z z z z z z z z z z z z z z z z z z\r\n", TOO_LONG "\n");
	EXPECT("ms k 1 c f h k l O q s t u v T1 N1 R1 P L F1 C1\r\nx\r\nmn\r\n",
	       TOO_LONG " swallow=3\nmn\n");
	EXPECT("ma k c f h k l O q s t u v T1 N1 R1 P L F1 C1 D1 J1 E1 I x\r\n", TOO_LONG "\n");
}

Test(meta_parse, modes_become_their_canonical_letter)
{
	EXPECT("ma k MI\r\n", "ma k MI\n");
	EXPECT("ma k M+\r\n", "ma k MI\n");
	EXPECT("ma k M-\r\n", "ma k MD\n");
	EXPECT("ma k Mi\r\n", "error CLIENT_ERROR invalid mode for ma M token\n");
	EXPECT("ma k M\r\n", "error CLIENT_ERROR invalid mode for ma M token\n");
	EXPECT("ms k 0 MS\r\n\r\n", "ms k MS value=\r\n\n");
	EXPECT("ms k 0 MA\r\n\r\n", "ms k MA value=\r\n\n");
	EXPECT("ms k 0 MP\r\n\r\n", "ms k MP value=\r\n\n");
	EXPECT("ms k 0 MR\r\n\r\n", "ms k MR value=\r\n\n");
	EXPECT("ms k 1 Me\r\nx\r\n", "error CLIENT_ERROR invalid mode for ms M token swallow=3\n");
	EXPECT("ms k 1 M\r\nx\r\n", "error CLIENT_ERROR invalid mode for ms M token swallow=3\n");
	EXPECT("mg k M\r\n", "mg k M?\n");
}

Test(meta_parse, an_opaque_has_up_to_31_bytes)
{
	EXPECT("mg k O" OPAQUE_31 "\r\n", "mg k O" OPAQUE_31 " order=O\n");
	EXPECT("mg k O\r\n", "mg k O order=O\n");
	EXPECT("mg k O" OPAQUE_31 "x\r\n", "error CLIENT_ERROR opaque token too long\n");
	EXPECT("ms k 1 O" OPAQUE_31 "x\r\nx\r\nmn\r\n",
	       "error CLIENT_ERROR opaque token too long swallow=3\nmn\n");
}

Test(meta_parse, binary_keys_are_decoded)
{
	EXPECT("mg a2V5 b v\r\n", "mg key b v\n");
	EXPECT("mg AAEg b\r\n", "mg \0\1 b\n"); /* compared up to the zero byte; see below */
	cr_expect_eq(driver.trace_length, sizeof("mg \0\1  b\n") - 1);
	cr_expect(memcmp(driver_trace(&driver), "mg \0\1  b\n", driver.trace_length) == 0);
	EXPECT("ms a2V5 1 b k\r\nx\r\n", "ms key b k order=k value=x\r\n\n");
	EXPECT("md zz== b\r\n", "md \xcf b\n");
	EXPECT("me a2V5 b\r\n", "me key b\n");
	EXPECT("me a2V5 v b\r\n", "me key b\n");
}

Test(meta_parse, keys_that_are_no_base64_are_refused)
{
	EXPECT("mg a2V b\r\n", BAD_KEY "\n");
	EXPECT("mg a=== b\r\n", BAD_KEY "\n");
	EXPECT("mg a2!5 b\r\n", BAD_KEY "\n");
	EXPECT("ms ! 1 b\r\nx\r\nmn\r\n", BAD_KEY " swallow=3\nmn\n");
	EXPECT("me k b\r\n", BAD_KEY "\n");
}

Test(meta_parse, me_ignores_what_it_does_not_know)
{
	EXPECT("me k x y z w v u 1 !\r\n", "me k\n");
	EXPECT("me k bb\r\n", "me k\n");
}

Test(meta_parse, mn_is_mn_whatever_follows)
{
	EXPECT("mn\r\n", "mn\n");
	EXPECT("mn foo\r\n", "mn line=foo\n");
	EXPECT("mz k\r\n", "error ERROR\n");
}

Test(meta_parse, nothing_is_left_over_from_the_command_before)
{
	driver_run(&driver, "ma k D9 J9 MD Oabc t v\r\n", 24);
	cr_expect_eq(driver.meta.delta, 9);
	driver_feed(&driver, "ma k\r\n", 6);
	cr_expect_eq(driver.meta.given, 0);
	cr_expect_eq(driver.meta.delta, 1);
	cr_expect_eq(driver.meta.initial, 0);
	cr_expect_eq(driver.meta.mode, 'I');
	cr_expect_eq(driver.meta.return_count, 0);
	driver_feed(&driver, "ms k 0\r\n\r\n", 10);
	cr_expect_eq(driver.meta.mode, 'S');
}
