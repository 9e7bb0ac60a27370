"""The requests of the differential JetStream API test. They say nothing of the replies: nats-server does.

A case is a list of steps, and a step is (subject, body): a request to `$JS.API.` plus the subject, or, where the subject begins
with "pub ", a publish, whose reply is compared as well. "@" in subjects and bodies stands for the case's number, so that no two
cases share a stream.
"""

import json


class Case:
    def __init__(self, name, steps):
        self.name = name
        self.steps = [(subject, body if isinstance(body, str) else json.dumps(body)) for subject, body in steps]


BOOL_FIELDS = ("no_ack allow_direct mirror_direct discard_new_per_subject sealed deny_delete deny_purge allow_rollup_hdrs "
               "allow_msg_ttl allow_msg_counter allow_atomic allow_msg_schedules allow_batched").split()

# What a stream's configuration may be given, one thing at a time and on its own.
STREAM_CONFIGS = [{field: True} for field in BOOL_FIELDS] + [
    {"description": "text"}, {"description": "x" * 4096}, {"description": "x" * 4097}, {"subjects": []}, {"subjects": None},
    {"subjects": [""]}, {"subjects": ["a b@"]}, {"subjects": ["a@..b"]}, {"subjects": [">"]}, 
    {"subjects": ["a@", "a@"]}, {"subjects": ["a@.*", "a@.b"]}, {"subjects": ["a@.b", "a@.>", "c@"]}, {"subjects": ["a@", "b@"]},
    {"subjects": ["a@.*.c", "a@.b.*"]}, {"subjects": ["a@.>.c"]}, {"subjects": ["$JS.API.x"]}, {"subjects": ["$JS.EVENT.x@"]},
    {"subjects": ["$JSC.x"]}, {"subjects": ["$NRG.>"]}, {"subjects": ["$SYS.x"]}, {"subjects": ["$SYS.ACCOUNT.x@"]},
    {"subjects": ["*.x@"]}, {"subjects": ["$KV.b@.>"]},
    {"retention": "limits"}, {"retention": "interest"}, {"retention": "workqueue"},
    {"max_consumers": 5}, {"max_consumers": 0}, {"max_consumers": -7}, {"max_msgs": 10}, {"max_msgs": 0}, {"max_msgs": -9},
    {"max_bytes": 1000}, {"max_bytes": -2}, {"max_msg_size": 100}, {"max_msg_size": 0}, {"max_msg_size": -3},
    {"max_msgs_per_subject": 3}, {"max_msgs_per_subject": -3}, {"max_age": 1}, {"max_age": 99999999}, {"max_age": 100000000},
    {"max_age": -5}, {"max_age": 60000000000}, {"max_age": 600000000000}, {"duplicate_window": 5}, {"duplicate_window": -5},
    {"duplicate_window": 100000000}, {"duplicate_window": 600000000000}, {"max_age": 1000000000, "duplicate_window": 2000000000},
    {"max_age": 1000000000, "duplicate_window": 500000000}, {"discard": "old"}, {"discard": "new"},
    {"discard": "new", "discard_new_per_subject": True}, {"discard_new_per_subject": True, "max_msgs_per_subject": 1},
    {"discard": "new", "discard_new_per_subject": True, "max_msgs_per_subject": 1}, {"storage": "memory"}, {"storage": "file"},
    {"num_replicas": 0}, {"num_replicas": 1}, {"num_replicas": 2}, {"num_replicas": 6}, {"num_replicas": -2},
    {"placement": {}}, {"placement": {"cluster": "x"}}, {"placement": {"tags": ["a", "b"]}}, {"placement": {"preferred": "x"}},
    {"compression": "none"}, {"compression": "s2"}, {"first_seq": 5}, {"first_seq": 0}, {"persist_mode": "async"},
    {"persist_mode": "default"}, {"persist_mode": ""}, {"persist_mode": "async", "storage": "memory"},
    {"persist_mode": "async", "allow_atomic": True}, {"deny_purge": True, "allow_rollup_hdrs": True},
    {"allow_msg_counter": True, "discard": "new"}, {"allow_msg_counter": True, "allow_msg_ttl": True},
    {"allow_msg_counter": True, "allow_msg_schedules": True}, {"allow_msg_counter": True, "retention": "interest"},
    {"allow_msg_counter": True, "allow_atomic": True}, {"subject_delete_marker_ttl": 1}, {"subject_delete_marker_ttl": -1},
    {"subject_delete_marker_ttl": 1000000000}, {"subject_delete_marker_ttl": 1000000000, "deny_purge": True},
    {"subject_delete_marker_ttl": 1000000000, "allow_msg_counter": True},
    {"allow_msg_schedules": True, "discard": "new"}, {"allow_msg_schedules": True, "deny_purge": True},
    {"consumer_limits": {}}, {"consumer_limits": {"max_ack_pending": 5}}, {"consumer_limits": {"inactive_threshold": 5}},
    {"consumer_limits": {"inactive_threshold": -1, "max_ack_pending": -1}}, {"metadata": {}}, {"metadata": {"b": "2", "a": "1"}},
    {"metadata": {"_nats.ver": "x", "_nats.level": "9", "_nats.req.level": "7"}}, {"metadata": {"a": "x" * 131055}},
    {"metadata": {"a": "x" * 131072}}, {"metadata": {"a": None}},
    {"republish": {"src": ">", "dest": "r@.>"}}, {"republish": {"dest": "r@.>"}}, {"republish": {"dest": "S@"}},
    {"republish": {"src": "a.*", "dest": "r@.$2"}}, {"republish": {"dest": ">"}}, {"republish": {"dest": ""}},
    {"republish": {"src": "S@", "dest": "x@", "headers_only": True}}, {"republish": {}}, {"republish": {"src": "a..b", "dest": "x"}},
    {"republish": {"src": ">", "dest": ">"}, "subject_transform": {"src": "S@", "dest": "x@"}},
    {"republish": {"dest": "S@"}, "subject_transform": {"src": "a", "dest": "b..c"}},
    {"mirror": {"name": "no"}}, {"mirror": {"name": ""}}, {"mirror": {"name": "a.b"}}, {"mirror": {}},
    {"mirror": {"name": "S@"}}, {"mirror": {"name": "no"}, "subjects": ["a@"]}, {"mirror": {"name": "no"}, "first_seq": 2},
    {"mirror": {"name": "no"}, "sources": [{"name": "x"}]}, {"mirror": {"name": "no"}, "allow_msg_counter": True},
    {"mirror": {"name": "no"}, "allow_atomic": True}, {"mirror": {"name": "no"}, "allow_batched": True},
    {"mirror": {"name": "no"}, "allow_msg_schedules": True}, {"mirror": {"name": "no"}, "subject_delete_marker_ttl": 2000000000},
    {"mirror": {"name": "no"}, "mirror_direct": True}, {"mirror": {"name": "no", "opt_start_seq": 5}},
    {"mirror": {"name": "no", "opt_start_time": "2020-01-02T03:04:05.678Z"}},
    {"mirror": {"name": "no", "opt_start_seq": 5, "opt_start_time": "2020-01-02T03:04:05Z"}},
    {"mirror": {"name": "no", "filter_subject": "a.>"}}, {"mirror": {"name": "no", "filter_subject": "a b"}},
    {"mirror": {"name": "no", "filter_subject": "a", "subject_transforms": [{"src": "a", "dest": "b"}]}},
    {"mirror": {"name": "no", "subject_transforms": [{"src": "a", "dest": "b"}, {"src": "a", "dest": "c"}]}},
    {"mirror": {"name": "no", "subject_transforms": [{"src": "a.*", "dest": "b.$2"}]}},
    {"mirror": {"name": "no", "subject_transforms": [{"src": "a..b", "dest": "b"}]}},
    {"mirror": {"name": "no", "subject_transforms": [{"src": "a", "dest": ""}, {"src": "b", "dest": ""}]}},
    {"mirror": {"name": "no", "external": {"api": "$JS.x.API", "deliver": "d.x"}}},
    {"mirror": {"name": "no", "external": {"api": "$JS.API", "deliver": ""}}},
    {"mirror": {"name": "no", "external": {"api": "$JS.>", "deliver": ""}}},
    {"mirror": {"name": "no", "external": {"api": "", "deliver": "x.*"}}},
    {"mirror": {"name": "no", "external": {}}}, {"mirror": {"name": "no", "consumer": {"name": "c", "deliver_subject": "d@"}}},
    {"mirror": {"name": "no", "consumer": {"name": "c", "deliver_subject": "d.*"}}}, {"mirror": {"name": "no", "consumer": {}}},
    {"mirror": {"name": "no", "opt_start_seq": 1, "consumer": {"name": "c", "deliver_subject": "d@"}}},
    {"mirror": {"name": "no", "filter_subject": "x", "consumer": {"name": "c", "deliver_subject": "d@"}}},
    {"sources": []}, {"sources": [{"name": "no"}]}, {"sources": [{"name": ""}]}, {"sources": [None]}, {"sources": [{"name": "S@"}]},
    {"sources": [{"name": "no"}, {"name": "no"}]}, {"sources": [{"name": "no"}, {"name": "no", "filter_subject": ">"}]},
    {"sources": [{"name": "no", "filter_subject": "a"}, {"name": "no", "filter_subject": "b"}]},
    {"sources": [{"name": "no", "filter_subject": "a b"}]}, {"sources": [{"name": "no"}], "subjects": ["a@"]},
    {"sources": [{"name": "no", "filter_subject": "a", "subject_transforms": [{"src": "a", "dest": "b"}]}]},
    {"sources": [{"name": "no", "subject_transforms": [{"src": "a.>", "dest": "b.>"}, {"src": "a.b", "dest": "c"}]}]},
    {"sources": [{"name": "no", "subject_transforms": [{"src": "a.>", "dest": "b"}]}]},
    {"sources": [{"name": "no", "subject_transforms": [{"src": "a b", "dest": "b"}]}]},
    {"sources": [{"name": "no"}], "allow_msg_schedules": True}, {"sources": [{"name": "no"}], "duplicate_window": 500000000},
    {"sources": [{"name": "no", "external": {"api": "$JS.x.API", "deliver": "d.x"}}]},
    {"sources": [{"name": "no", "external": {"api": "$JS.x.API"}}, {"name": "no"}]},
    {"sources": [{"name": "no", "external": {"api": "$JS.API.x", "deliver": "d.x"}}]},
    {"sources": [{"name": "no", "consumer": {"name": "c", "deliver_subject": "d@"}}]},
    {"sources": [{"name": "no", "consumer": {"name": "c"}}]},
    {"sources": [{"name": "no", "subject_transforms": [{"src": "a", "dest": ""}], "consumer": {"name": "c", "deliver_subject": "d"}},
                 {"name": "no", "subject_transforms": [{"src": "b", "dest": ""}], "consumer": {"name": "c", "deliver_subject": "d"}}]},
    {"subject_transform": {}}, {"subject_transform": {"src": "a..b", "dest": "c"}},
]

TRANSFORMS = [(source, destination) for source, destinations in {
    "a.*": "b.$1|b.$2|b.$0|b.$x|b.{{wildcard(1)}}|b.{{wildcard(2)}}|b.{{wildcard()}}|b.{{wildcard(1,2)}}|b.{{wildcard(x)}}|"
           "b.{{ Wildcard ( 1 ) }}|b.{{foo(1)}}|b.{{partition(3)}}|b.{{partition(3,1)}}|b.{{partition(3, 1)}}|b.{{partition(3,2)}}|"
           "b.{{partition(x,1)}}|b.{{partition()}}|b.{{partition(99999999999,1)}}|b.{{partition(3,)}}|b.{{partition}}|"
           "b.{{split(1,-)}}|b.{{split(1)}}|b.{{split(1,-,2)}}|b.{{split(1,)}}|b.{{left(1,2)}}|b.{{Right(1,2)}}|b.{{left(1,x)}}|"
           "b.{{left(1,2,3)}}|b.{{left(2,2)}}|b.{{random(3)}}|b.{{random()}}|b.{{random(1,2)}}|b.{{splitFromLeft(1,2)}}|"
           "b.{{splitfromRight(1,2)}}|b.{{SliceFromLeft(1,2)}}|b.{{sliceFromRight(1)}}|b|b.*|b..c|b.|b.>|b.{{}}|{{|b c||"
           "x.{{wildcard(1)}}y|x.y{{wildcard(1)}}|$1.$1|{{WILDCARD(1)}}|b.{{left(1,0)}}",
    "a": "b|b.$1|b.{{wildcard(1)}}|b.{{partition(3)}}|b.{{partition(3,1)}}|b.{{random(3)}}|b.{{left(1,1)}}|b.>|",
    "a.>": "b.>|b|b.$1.>|b.{{partition(3)}}.>|b.>.c|>", "": "x.>|x|>|", ">": "x.>|>", "a.*.>": "b.$1.>|b.>", "a.*.*": "b.$2.$1|b.$2",
    "a b": "c", "a..b": "c",
}.items() for destination in destinations.split("|")]

# Bodies that are not what STREAM.CREATE wants, by JSON's or Go's rules.
BAD_JSON = """
{|null|[]|"x"|5|true|{"name":"S@"}x|{"name":"S@"} {}|{"name":"S@"}5|{"name":"S@"}}|{"name":"S@"|{"name":5}|{"name":null}|{"NAME":"S@"}
{"name":"S@","subjects":"a"}|{"name":"S@","subjects":[5]}|{"name":"S@","subjects":["a",[]]}|{"name":"S@","subjects":{"a":1}}
{"name":"S@","retention":"foo"}|{"name":"S@","retention":5}|{"name":"S@","retention":null}|{"name":"S@","storage":{}}
{"name":"S@","discard":""}|{"name":"S@","storage":"FILE"}|{"name":"S@","compression":"x"}|{"name":"S@","compression":3}
{"name":"S@","compression":null}|{"name":"S@","persist_mode":"x"}|{"name":"S@","persist_mode":null}|{"name":"S@","max_msgs":"5"}
{"name":"S@","max_msgs":1.5}|{"name":"S@","max_msgs":1e3}|{"name":"S@","max_msgs":9223372036854775808}|{"name":"S@","max_msgs":-0}
{"name":"S@","max_msg_size":3000000000}|{"name":"S@","max_age":"1s"}|{"name":"S@","num_replicas":{}}|{"name":"S@","first_seq":-1}
{"name":"S@","no_ack":"x"}|{"name":"S@","no_ack":1}|{"name":"S@","no_ack":null}|{"name":"S@","mirror":"x"}|{"name":"S@","mirror":{"nam":"x"}}
{"name":"S@","mirror":{"name":5}}|{"name":"S@","mirror":null}|{"name":"S@","sources":[{"name":5}]}|{"name":"S@","sources":{}}
{"name":"S@","sources":[5]}|{"name":"S@","mirror":{"opt_start_time":"abc"}}|{"name":"S@","mirror":{"opt_start_time":5}}
{"name":"S@","mirror":{"opt_start_time":"2020-01-01"}}|{"name":"S@","mirror":{"opt_start_time":"2020-13-01T00:00:00Z"}}
{"name":"S@","mirror":{"opt_start_time":"2020-02-30T00:00:00Z"}}|{"name":"S@","mirror":{"opt_start_time":"2020-02-03T25:00:00Z"}}
{"name":"S@","mirror":{"opt_start_time":"2020-02-03T00:61:00Z"}}|{"name":"S@","mirror":{"opt_start_time":"2020-02-03T00:00:61Z"}}
{"name":"S@","mirror":{"opt_start_time":"2020-02-03T00:00:00"}}|{"name":"S@","mirror":{"opt_start_time":"2020-02-03T00:00:00+25:00"}}
{"name":"S@","mirror":{"opt_start_time":"2020-02-03T00:00:00Zx"}}|{"name":"S@","mirror":{"opt_start_time":"2020-2-03T00:00:00Z"}}
{"name":"S@","mirror":{"opt_start_time":"2020-02-03 00:00:00Z"}}|{"name":"S@","mirror":{"opt_start_time":"2020-02-03T00:00:00.Z"}}
{"name":"S@","mirror":{"opt_start_time":"2020-02-03T00:00:00,5Z"}}|{"name":"S@","mirror":{"opt_start_time":"2020-02-03T1:00:00Z"}}
{"name":"S@","metadata":{"a":5}}|{"name":"S@","metadata":[]}|{"name":"S@","consumer_limits":5}|{"name":"S@","consumer_limits":{"x":5}}
{"name":"S@","consumer_limits":{"max_ack_pending":"x"}}|{"name":"S@","bogus":1}|{"name":5,"bogus":1}|{"name":"S@","bogus":1,"name":5}
{"name":"S@","pedantic":"x"}|{"name":"S@","placement":{"tags":"x"}}|{"name":"S@","placement":{"tags":[5]}}|{"name":"S@","bo\\"gus":1}
{"name":"S@","subject_transform":{"src":5}}|{"name":"S@","subject_transform":5}|{"name":"S@","republish":{"headers_only":5}}
{"name":"S@","mirror":{"external":{"api":5}}}|{"name":"S@","mirror":{"external":5}}|{"name":"S@","mirror":{"consumer":{"nam":1}}}
{"name":"S@","mirror":{"subject_transforms":[5]}}|{"name":"S@","mirror":{"subject_transforms":[{"src":5}]}}
{"name":"S@","template_owner":"x"}|{"name":"S@", nope}|{"name":"S@",}|{"a" 5}|{"name":tru}|{"name":"\\x"}|{"n":"\\u12g4"}|{"name":"a\tb"}
{"n":01}|{"n":-}|{"n":1.}|{"n":1.5e}|{"n":"abc|[1 2]|{"subjects":[1,]}|{"subjects":[}|{'name':5}|nul|tx|-|{"name":"S@" "b"}|é
{"name":"S@","max_msgs":"x","retention":"y"}|{"name":"S@","retention":"y","max_msgs":"x"}|{"name":"S@","name":"T@"}
""".replace("\n", "|")

PEDANTIC_STREAMS = [
    {}, {"max_msgs": -2}, {"max_bytes": -2}, {"max_msg_size": -2}, {"max_consumers": -2}, {"max_msgs_per_subject": -2},
    {"max_age": 1000000000}, {"subject_delete_marker_ttl": 1000000000}, {"allow_msg_schedules": True}, {"republish": {"dest": "r@.>"}},
    {"subject_delete_marker_ttl": 1000000000, "allow_msg_ttl": True}, {"max_msgs": -2, "max_age": -1},
    {"republish": {"src": ">", "dest": ">"}, "subject_transform": {"src": "S@", "dest": "x@"}},
]

# (before, after): an update of one to the other.
STREAM_UPDATES = [
    ({}, {}), ({}, {"description": "x"}), ({}, {"subjects": ["a@.>"]}), ({}, {"storage": "memory"}), ({}, {"retention": "interest"}),
    ({}, {"retention": "workqueue"}), ({"retention": "workqueue"}, {}), ({"retention": "interest"}, {}), ({}, {"max_consumers": 3}),
    ({}, {"sealed": True}), ({"allow_rollup_hdrs": True, "max_age": 1000000000}, {"sealed": True, "max_age": 1000000000}),
    ({"deny_delete": True}, {}), ({"deny_purge": True}, {}), ({}, {"deny_purge": True, "deny_delete": True}),
    ({"mirror": {"name": "no"}}, {"mirror": {"name": "other"}}), ({"mirror": {"name": "no"}}, {}), ({}, {"mirror": {"name": "no"}}),
    ({"allow_msg_ttl": True}, {}), ({}, {"allow_msg_ttl": True}), ({}, {"allow_msg_counter": True}), ({"allow_msg_counter": True}, {}),
    ({"allow_msg_schedules": True}, {}), ({}, {"allow_msg_schedules": True}), ({}, {"persist_mode": "async"}),
    ({"persist_mode": "async"}, {}), ({}, {"discard_new_per_subject": True}), ({}, {"num_replicas": 3}), ({}, {"max_bytes": 500}),
    ({"max_bytes": 500}, {"max_bytes": 100}), ({}, {"first_seq": 7}), ({"first_seq": 7}, {}), ({}, {"compression": "s2"}),
    ({}, {"allow_atomic": True}), ({"allow_atomic": True}, {}), ({"allow_direct": True}, {}), ({}, {"allow_direct": True}),
    ({}, {"sources": [{"name": "no"}]}), ({"sources": [{"name": "no"}]}, {"sources": [{"name": "other"}]}),
    ({"metadata": {"a": "b"}}, {"metadata": {"c": "d"}}), ({}, {"republish": {"dest": "r@.>"}}), ({}, {"max_age": -1}),
    ({}, {"name": "T@"}), ({}, {"subject_transform": {"src": "S@", "dest": "x@"}}), ({}, {"bogus": 1}),
    ({"subject_delete_marker_ttl": 1000000000}, {"allow_msg_ttl": True}), ({}, {"consumer_limits": {"max_ack_pending": 10}}),
]

CONSUMER_CONFIGS = [
    {}, {"description": "x"}, {"description": "x" * 4097}, {"deliver_policy": "last"}, {"deliver_policy": "new"},
    {"deliver_policy": "by_start_sequence"}, {"deliver_policy": "by_start_sequence", "opt_start_seq": 5},
    {"deliver_policy": "by_start_sequence", "opt_start_seq": 5, "opt_start_time": "2020-01-01T00:00:00Z"},
    {"deliver_policy": "by_start_time"}, {"deliver_policy": "by_start_time", "opt_start_time": "2020-01-01T00:00:00Z"},
    {"deliver_policy": "by_start_time", "opt_start_seq": 1, "opt_start_time": "2020-01-01T00:00:00Z"},
    {"deliver_policy": "last_per_subject"}, {"deliver_policy": "last_per_subject", "filter_subject": "s@.>"},
    {"deliver_policy": "last_per_subject", "filter_subjects": ["s@.a", "s@.b"]}, {"deliver_policy": "undefined"},
    {"deliver_policy": "last_per_subject", "filter_subject": "s@.>", "opt_start_seq": 4}, {"opt_start_seq": 5},
    {"deliver_policy": "last", "opt_start_seq": 1}, {"deliver_policy": "new", "opt_start_time": "2020-01-01T00:00:00Z"},
    {"opt_start_time": "2020-01-01T00:00:00Z"}, {"ack_policy": "explicit"}, {"ack_policy": "all"}, {"ack_policy": "none"},
    {"ack_policy": "flow_control"}, {"ack_policy": "flow_control", "deliver_subject": "d@"},
    {"ack_policy": "flow_control", "deliver_subject": "d@", "ack_wait": 5}, {"ack_policy": "flow_control", "deliver_subject": "d@", "max_deliver": 5},
    {"ack_policy": "flow_control", "deliver_subject": "d@", "max_ack_pending": -1}, {"ack_wait": -1}, {"ack_policy": "explicit", "ack_wait": 5},
    {"backoff": [5, -6]}, {"backoff": [5, 6]}, {"backoff": [5, 6], "max_deliver": 1}, {"backoff": [5, 6], "max_deliver": 2},
    {"backoff": [5, 6], "max_deliver": 3, "ack_wait": 7}, {"max_deliver": 0}, {"max_deliver": 5}, {"max_deliver": -4},
    {"filter_subject": "s@.a"}, {"filter_subject": "a b"}, {"filter_subject": "other"}, {"filter_subjects": ["s@.a", "s@.b"]},
    {"filter_subjects": ["s@.a", "s@.*"]}, {"filter_subjects": ["s@.*.b", "s@.a.*"]}, {"filter_subjects": [""]},
    {"filter_subjects": ["a b"]}, {"filter_subjects": ["s@.a", "s@.a"]}, {"filter_subject": "s@.a", "filter_subjects": ["s@.b"]},
    {"filter_subjects": ["s@.a"]}, {"replay_policy": "original"}, {"rate_limit_bps": 1000}, {"rate_limit_bps": 1000, "deliver_subject": "d@"},
    {"sample_freq": "50%"}, {"sample_freq": "100"}, {"sample_freq": "x"}, {"sample_freq": "-5"}, {"sample_freq": "%"}, {"sample_freq": "+5%"},
    {"max_waiting": 5}, {"max_waiting": -5}, {"max_waiting": 5, "deliver_subject": "d@"}, {"max_ack_pending": 5},
    {"max_ack_pending": -5, "ack_policy": "explicit"}, {"max_ack_pending": 5, "deliver_subject": "d@"}, {"headers_only": True},
    {"max_batch": 5}, {"max_batch": -1}, {"max_expires": 5}, {"max_expires": 1000000}, {"max_expires": -1}, {"max_bytes": 5}, {"max_bytes": -5},
    {"deliver_subject": "d@"}, {"deliver_subject": "d.*"}, {"deliver_subject": "d d"}, {"deliver_subject": "s@.x"}, {"deliver_subject": "d..d"},
    {"deliver_subject": "d@", "deliver_group": "g"}, {"deliver_group": "g"}, {"flow_control": True},
    {"deliver_subject": "d@", "flow_control": True}, {"deliver_subject": "d@", "flow_control": True, "idle_heartbeat": 1000000000},
    {"deliver_subject": "d@", "idle_heartbeat": 5}, {"idle_heartbeat": 1000000000}, {"idle_heartbeat": -1},
    {"inactive_threshold": 5}, {"inactive_threshold": -5}, {"num_replicas": 1}, {"num_replicas": 2}, {"num_replicas": -1},
    {"mem_storage": True}, {"direct": True}, {"metadata": {"b": "1", "a": "2"}}, {"metadata": {"a": "x" * 131073}},
    {"metadata": {"_nats.ver": "x"}}, {"pause_until": "2040-01-01T00:00:00Z"}, {"pause_until": "2020-01-01T00:00:00Z"},
    {"pause_until": "0001-01-01T00:00:00Z"}, {"priority_policy": "overflow", "priority_groups": ["a"]},
    {"priority_policy": "pinned_client", "priority_groups": ["a"]}, {"priority_policy": "prioritized", "priority_groups": ["a"]},
    {"priority_policy": "pinned_client", "priority_groups": ["a"], "priority_timeout": 5}, {"priority_policy": "overflow"},
    {"priority_policy": "overflow", "priority_groups": [""]}, {"priority_policy": "overflow", "priority_groups": ["a b"]},
    {"priority_policy": "overflow", "priority_groups": ["x" * 17]}, {"priority_policy": "overflow", "priority_groups": ["A/_=-9"]},
    {"priority_policy": "overflow", "priority_groups": ["a"], "deliver_subject": "d@"}, {"priority_groups": ["a"]},
    {"priority_policy": "none"}, {"priority_timeout": 5}, {"priority_timeout": -5}, {"name": "other"}, {"durable_name": "other"},
    {"durable_name": "C"}, {"ack_policy": "x"}, {"deliver_policy": ""}, {"replay_policy": 5}, {"ack_policy": None},
    {"priority_policy": "x"}, {"priority_policy": None}, {"backoff": ["x"]}, {"backoff": [1.5]}, {"opt_start_time": "x"}, {"ack_wait": "1s"},
    {"rate_limit_bps": -1}, {"priority_groups": [5]}, {"metadata": {"a": 1}}, {"bogus": 1}, {"max_bytes": 99999999999999999999},
]

# (before, after) of a durable C.
CONSUMER_UPDATES = [
    ({}, {"description": "x"}), ({}, {"deliver_policy": "new"}), ({}, {"mem_storage": True}), ({}, {"ack_policy": "all"}),
    ({}, {"replay_policy": "original"}), ({}, {"max_waiting": 5}), ({}, {"deliver_subject": "d@"}), ({"deliver_subject": "d@"}, {}),
    ({"deliver_subject": "d@"}, {"deliver_subject": "e@"}), ({}, {"filter_subject": "s@.a"}), ({"filter_subject": "s@.a"}, {}),
    ({"filter_subject": "s@.a"}, {"filter_subjects": ["s@.a", "s@.b"]}), ({}, {"max_deliver": 5}), ({}, {"backoff": [5, 6]}),
    ({}, {"backoff": [5, 6], "max_deliver": 1}), ({"max_deliver": 5}, {"backoff": [5, 6]}), ({}, {"metadata": {"a": "b"}}),
    ({"metadata": {"a": "b"}}, {}), ({}, {"headers_only": True}), ({}, {"max_batch": 5, "max_expires": 1000000, "max_bytes": 7}),
    ({}, {"inactive_threshold": 500000000000}), ({}, {"sample_freq": "5"}), ({}, {"num_replicas": 1}), ({}, {"max_ack_pending": 7}),
    ({"deliver_policy": "by_start_sequence", "opt_start_seq": 1}, {"deliver_policy": "by_start_sequence", "opt_start_seq": 2}),
    ({"deliver_policy": "by_start_time", "opt_start_time": "2020-01-01T00:00:00Z"},
     {"deliver_policy": "by_start_time", "opt_start_time": "2021-01-01T00:00:00Z"}),
    ({"deliver_subject": "d@", "idle_heartbeat": 1000000000}, {"deliver_subject": "d@", "idle_heartbeat": 2000000000}),
    ({"deliver_subject": "d@", "idle_heartbeat": 1000000000}, {"deliver_subject": "d@", "idle_heartbeat": 1000000000, "flow_control": True}),
    ({}, {"pause_until": "2040-01-01T00:00:00Z"}), ({"pause_until": "2040-01-01T00:00:00Z"}, {}),
    ({}, {"priority_policy": "overflow", "priority_groups": ["a"]}), ({"ack_policy": "explicit"}, {"ack_policy": "explicit", "ack_wait": 7}),
]

WORK_QUEUE = [
    [{"ack_policy": "none"}], [{"ack_policy": "all"}], [{"ack_policy": "explicit", "deliver_policy": "new"}],
    [{"ack_policy": "explicit"}, {"ack_policy": "explicit"}], [{"ack_policy": "none", "deliver_subject": "d@"}],
    [{"ack_policy": "explicit", "filter_subject": "s@.a"}, {"ack_policy": "explicit"}],
    [{"ack_policy": "explicit"}, {"ack_policy": "explicit", "filter_subject": "s@.a"}],
    [{"ack_policy": "explicit", "filter_subject": "s@.a"}, {"ack_policy": "explicit", "filter_subject": "s@.b"}],
    [{"ack_policy": "explicit", "filter_subject": "s@.a"}, {"ack_policy": "explicit", "filter_subject": "s@.*"}],
    [{"ack_policy": "explicit", "filter_subject": "s@.*.b"}, {"ack_policy": "explicit", "filter_subject": "s@.a.*"}],
    [{"ack_policy": "explicit", "filter_subjects": ["s@.a", "s@.b"]}, {"ack_policy": "explicit", "filter_subject": "s@.b"}],
    [{"ack_policy": "flow_control", "deliver_subject": "d@"}], [{"ack_policy": "explicit", "num_replicas": 1}],
]

PEDANTIC_CONSUMERS = [{}] + [{field: -5} for field in (
    "max_deliver max_waiting max_ack_pending max_batch max_expires max_bytes idle_heartbeat inactive_threshold "
    "priority_timeout").split()] + [{"backoff": [5]}, {"backoff": [5], "ack_wait": 5}]

# Bodies of requests about a stream S@ (subjects s@.>) with three messages and a consumer C.
REQUESTS = {
    "INFO": ["5", "{"],
    "STREAM.NAMES": ['{"subject":"s@.x"}', '{"subject":"zz@.>"}', '{"bogus":1}', '{"offset":"x"}', "{", '{"subject":5}', "[]"],
    "STREAM.LIST": ['{"subject":"s@.x"}', '{"subject":"s@.>","offset":1}', '{"subject":"s@.>","offset":-5}', '{"bogus":1}', "{",
                    '{"subject":"zz@.>"}'],
    "STREAM.INFO.S@": ["", "5", '{"bogus":1}', '{"offset":"x"}', "{", '{"deleted_details":5}', '{"deleted_details":true}',
                       '{"subjects_filter":">"}', '{"subjects_filter":"s@.a"}', '{"subjects_filter":"s@.*","offset":1}',
                       '{"subjects_filter":"nn"}', '{"subjects_filter":">","offset":9}', '{"subjects_filter":5}'],
    "STREAM.INFO.NO@": [""],
    "STREAM.DELETE.S@": ["5", "{", " "],
    "STREAM.DELETE.NO@": [""],
    "STREAM.PURGE.S@": ["", '{"filter":"s@.a"}', '{"seq":2}', '{"keep":1}', '{"seq":1,"keep":1}', '{"bogus":1}', "5", "{",
                        '{"filter":5}', '{"seq":-1}', '{"keep":"x"}', '{"filter":"a b"}', '{"filter":"s@.*","keep":1}',
                        '{"filter":"s@.*","seq":3}', '{"keep":9}', '{"seq":99}'],
    "STREAM.PURGE.NO@": [""],
    "STREAM.MSG.GET.S@": ["", "{}", "5", "{", '{"bogus":1}', '{"seq":"x"}', '{"seq":1}', '{"seq":3}', '{"seq":99}',
                          '{"last_by_subj":"s@.a"}', '{"last_by_subj":"s@.*"}', '{"last_by_subj":"nn"}', '{"last_by_subj":5}',
                          '{"next_by_subj":"s@.b"}', '{"next_by_subj":"s@.a","seq":2}', '{"next_by_subj":5}', '{"start_time":5}',
                          '{"start_time":"2020-01-01T00:00:00Z"}', '{"start_time":"2040-01-01T00:00:00Z"}',
                          '{"start_time":"2020-01-01T00:00:00Z","next_by_subj":"s@.b"}', '{"no_hdr":5}', '{"seq":3,"no_hdr":true}',
                          '{"start_time":"2020-01-01T00:00:00Z","seq":1}', '{"batch":1,"seq":1}', '{"max_bytes":1,"seq":1}',
                          '{"seq":1,"last_by_subj":"s@.a"}', '{"last_by_subj":"s@.a","next_by_subj":"s@.a"}', '{"multi_last":["a"]}',
                          '{"multi_last":[5]}', '{"multi_last":["a"],"seq":1}', '{"up_to_seq":5,"seq":1}', '{"up_to_time":"x"}'],
    "STREAM.MSG.GET.NO@": ['{"seq":1}'],
    "STREAM.MSG.DELETE.S@": ["", "{}", "5", "{", '{"bogus":1}', '{"seq":"x"}', '{"seq":1}', '{"seq":1,"no_erase":true}',
                             '{"seq":0}', '{"no_erase":5}'],
    "STREAM.MSG.DELETE.NO@": ['{"seq":1}'],
    "STREAM.SNAPSHOT.S@": ["", "{}", "5", "{", '{"bogus":1}', '{"deliver_subject":5}', '{"deliver_subject":"a b"}', '{"jsck":5}',
                           '{"chunk_size":"x","deliver_subject":"x"}'],
    "STREAM.RESTORE.R@": ["", "{}", "5", "{", '{"bogus":1}', '{"config":5}', '{"state":5}', '{"config":{"name":"R@"},"state":{"bogus":1}}',
                          '{"config":{"bogus":1}}', '{"config":{"name":5}}'],
    "STREAM.LEADER.STEPDOWN.S@": ["", "5"], "STREAM.PEER.REMOVE.S@": ["", '{"peer":"x"}'], "CONSUMER.LEADER.STEPDOWN.S@.C": [""],
    "CONSUMER.CREATE.S@": ["", "{}", "5", "{", '{"bogus":1}', '{"stream_name":5}', '{"stream_name":"S@","config":5}',
                           '{"stream_name":"S@","action":"x"}', '{"stream_name":"S@","action":5}', '{"stream_name":"S@","action":null}',
                           '{"stream_name":"S@","pedantic":5}', '{"stream_name":"X@"}', '{"stream_name":"S@","config":{"durable_name":"D"}}'],
    "CONSUMER.CREATE.NO@.C": ['{"stream_name":"NO@"}'],
    "CONSUMER.DURABLE.CREATE.S@.D": ['{"stream_name":"S@"}', '{"stream_name":"S@","config":{"durable_name":"E"}}',
                                     '{"stream_name":"S@","config":{"durable_name":"D"}}',
                                     '{"stream_name":"S@","config":{"durable_name":"D","name":"F"}}'],
    "CONSUMER.CREATE.S@.F.s@.a": ['{"stream_name":"S@"}', '{"stream_name":"S@","config":{"filter_subject":"s@.b"}}',
                                  '{"stream_name":"S@","config":{"filter_subject":"s@.a"}}',
                                  '{"stream_name":"S@","config":{"filter_subjects":["s@.a"]}}'],
    "CONSUMER.CREATE.S@.a/b": ['{"stream_name":"S@"}'], "CONSUMER.CREATE.S@.k*": ['{"stream_name":"S@"}'],
    "CONSUMER.NAMES.S@": ["", "null", "5", "{", '{"bogus":1}', '{"offset":"x"}', '{"offset":5}'], "CONSUMER.NAMES.NO@": [""],
    "CONSUMER.LIST.S@": ["", "5", "{", '{"bogus":1}', '{"offset":5}', '{"offset":-1}'], "CONSUMER.LIST.NO@": [""],
    "CONSUMER.INFO.S@.C": ["", "5", "{", " "], "CONSUMER.INFO.S@.NO": [""], "CONSUMER.INFO.NO@.C": [""],
    "CONSUMER.DELETE.S@.C": ["", "5", "{"], "CONSUMER.DELETE.S@.NO": [""], "CONSUMER.DELETE.NO@.C": [""],
    "CONSUMER.PAUSE.S@.C": ["", "{}", "5", "{", '{"bogus":1}', '{"pause_until":5}', '{"pause_until":"x"}',
                            '{"pause_until":"2020-01-01T00:00:00Z"}', '{"pause_until":"2040-01-01T00:00:00Z"}', '{"pause_until":null}'],
    "CONSUMER.PAUSE.S@.NO": [""], "CONSUMER.PAUSE.NO@.C": [""],
    "CONSUMER.UNPIN.S@.C": ["", "{}", "5", "{", '{"a":}', "[1]", '{"group":5}', '{"group":"x"}', '{"group":"x"}y'],
    "CONSUMER.UNPIN.S@.NO": ['{"group":"x"}'], "CONSUMER.UNPIN.NO@.C": ['{"group":"x"}'],
    "CONSUMER.RESET.S@.C": ["", "{}", "5", "{", '{"bogus":1}', '{"seq":1,}', '{"seq":"x"}', '{"seq":-1}', '{"seq":2}', '{"seq":0}'],
    "CONSUMER.RESET.S@.NO": [""],
    "CONSUMER.MSG.NEXT.S@.C": ["{", '{"batch":"x"}', '{"expires":"1s"}', '{"no_wait":1}', '{"idle_heartbeat":5,"expires":5}',
                               '{"no_wait":true,"batch":1}', '{"id":"x"}', '{"priority":5}', '{"min_pending":5}'],
    "DIRECT.GET.S@": ["", "{", "5", "{}", '{"bogus":1}', '{"seq":"x"}', '{"seq":1}', '{"seq":99}', '{"seq":1} x',
                      '{"seq":1,"last_by_subj":"x"}', '{"last_by_subj":"s@.a"}', '{"next_by_subj":"s@.b"}', '{"seq":3,"no_hdr":true}',
                      '{"multi_last":[5]}', '{"batch":1}', '{"start_time":"2040-01-01T00:00:00Z"}', '{"seq":1,"start_time":"2020-01-01T00:00:00Z"}',
                      '{"last_by_subj":"s@.a","next_by_subj":"s@.a"}', '{"multi_last":["s@.a"],"seq":1}',
                      '{"multi_last":["s@.a"],"up_to_seq":1,"up_to_time":"2020-01-01T00:00:00Z"}'],
    "DIRECT.GET.S@.s@.a": ["", "{", "5", "[]", '{"no_hdr":true}', '{"bogus":1}', '{"seq":1}', '{"no_hdr":5}'],
    "DIRECT.GET.S@.nn": [""],
}


# What takes messages out of a stream with ten messages, by turns on s@.a and s@.b. Where a purge's filter lets through less than a
# consumer's, and some of what it removes was pending, nats-server's floor ends up above other pending messages: not compared.
PURGES = ["", {"filter": "s@.a"}, {"filter": "s@.b"}, {"filter": "s@.>"}, {"seq": 4}, {"keep": 3}, {"filter": "s@.a", "seq": 4},
          {"filter": "s@.a", "keep": 2}, {"seq": 20}, {"filter": "s@.zz"}, {"filter": "s@.a", "keep": 9}]
PURGED_CONSUMERS = [{}, {"filter_subject": "s@.a"}, {"filter_subjects": ["s@.a", "s@.b"]}, {"filter_subject": "s@.*"}]


def stream(config, name="S@"):
    return {"name": name, **config}


def consumer(config, **rest):
    return {"stream_name": "S@", "config": config, **rest}


def create(config=None, name="S@"):
    return (f"STREAM.CREATE.{name}", stream({} if config is None else config, name))


def a_stream():
    """A stream with three messages, one with headers, and a consumer."""
    return [create({"subjects": ["s@.>"], "allow_direct": True}), ("pub s@.a", "one"), ("pub s@.b", "two"),
            ("hpub s@.a", "NATS/1.0\r\nKey: value\r\n\r\nthree"),
            ("CONSUMER.CREATE.S@.C", consumer({"durable_name": "C"}))]


def head(*lines):
    return "NATS/1.0\r\n" + "".join(line + "\r\n" for line in lines) + "\r\n"


def add_headers(add):
    """What headers ask for: an API level, a time to live, a time zone; and how direct gets and pulls end."""
    api = ["INFO", "STREAM.NAMES", "STREAM.LIST", "STREAM.CREATE.T@", "STREAM.UPDATE.S@", "STREAM.INFO.S@", "STREAM.INFO.NO@", "STREAM.PURGE.S@",
           "STREAM.MSG.GET.S@", "STREAM.MSG.DELETE.S@", "STREAM.SNAPSHOT.S@", "STREAM.RESTORE.S@", "STREAM.LEADER.STEPDOWN.S@",
           "CONSUMER.CREATE.S@.D", "CONSUMER.NAMES.S@", "CONSUMER.LIST.S@", "CONSUMER.INFO.S@.C", "CONSUMER.PAUSE.S@.C", "CONSUMER.UNPIN.S@.C",
           "CONSUMER.RESET.S@.C", "CONSUMER.RESET.S@.NO", "CONSUMER.MSG.NEXT.S@.C", "CONSUMER.DELETE.S@.C", "DIRECT.GET.S@", "STREAM.DELETE.S@"]
    for level in "6", "x":
        add(f"API level {level}", a_stream() + [("hpub $JS.API." + subject, head("Nats-Required-Api-Level: " + level)) for subject in api])
    levels = ["5", "", "-1", "+5", " 4 ", "99999999999999999999", "5.0"]
    add("API levels", a_stream() + [("hpub $JS.API.STREAM.NAMES", head("Nats-Required-Api-Level: " + level)) for level in levels])
    batch = [create({"subjects": ["s@.>"], "allow_atomic": True, "allow_direct": True})]
    for level in "5", "6", "x":
        for rest in (["1"], ["1", "Nats-Batch-Commit: 1"], ["1", "Nats-Batch-Commit: eob"], ["2"], ["x"], ["1", "Nats-Batch-Commit: x"], ["2000"]):
            lines = ["Nats-Required-Api-Level: " + level, "Nats-Batch-Id: b" + str(len(batch)), "Nats-Batch-Sequence: " + rest[0], *rest[1:]]
            batch.append(("hpub s@.a", head(*lines) + "x"))
        begun = ["Nats-Batch-Id: c" + level, "Nats-Batch-Sequence: "]
        for first in ("1", "2", "3"):
            batch.append(("hpub s@.a", head(begun[0], begun[1] + first, *(["Nats-Required-Api-Level: " + level] if first == "2" else [])) + "x"))
    add("API levels of atomic batches", batch + [("DIRECT.GET.S@", '{"seq":1}'), ("DIRECT.GET.S@", '{"last_by_subj":"s@.a"}')])
    push = {"durable_name": "P", "deliver_subject": "d@"}
    add("pulling from a push consumer", a_stream() + [("CONSUMER.CREATE.S@.P", consumer(push))] + [
        ("CONSUMER.MSG.NEXT.S@.P", body) for body in ("", "{", "5")] + [
        ("hpub $JS.API.CONSUMER.MSG.NEXT.S@.P", head("Nats-Required-Api-Level: 6"))])
    ttls = ["never", "NEVER", "Never", "nEvEr", "2562047h", "2562048h", "9223372036s", "9223372037s", "1h30m", "0", "-1", "1.5s", "1d",
            "999999999999", "", "0s", "500ms", "1500ms"]
    add("times to live", [create({"subjects": ["s@.>"], "allow_msg_ttl": True})] + [
        ("hpub s@.a", head("Nats-TTL: " + ttl)) for ttl in ttls])
    zones = ["", "  ", "UTC", "Europe/Berlin", "No/Where"]
    add("time zones of schedules", [create({"subjects": ["s@.>"], "allow_msg_schedules": True})] + [
        ("hpub s@.s", head("Nats-Schedule: " + when, "Nats-Schedule-Target: s@.t", "Nats-Schedule-Time-Zone: " + zone))
        for when in ("0 0 0 1 1 *", "@hourly", "@every 1h", "@at 2040-01-01T00:00:00Z") for zone in zones])
    add("direct gets of none", a_stream() + [("DIRECT.GET.S@", body) for body in (
        '{"batch":-1,"seq":1}', '{"batch":-1,"seq":9}', '{"batch":-2,"next_by_subj":"s@.*"}', '{"batch":-1,"last_by_subj":"s@.a"}',
        '{"batch":-1,"multi_last":["s@.x"]}', '{"batch":-1,"start_time":"2020-01-01T00:00:00Z"}', '{"batch":3,"seq":9}')])
    pulls = ['{"expires":50000000}', '{"batch":0,"expires":50000000}', '{"batch":1,"expires":50000000}', '{"batch":-3,"expires":50000000}',
             '{"batch":0,"max_bytes":100,"expires":50000000}', '{"batch":2,"expires":50000000}']
    add("pulls that run out", [create({"subjects": ["s@.>"]}), ("CONSUMER.CREATE.S@.C", consumer({"durable_name": "C"}))] + [
        ("CONSUMER.MSG.NEXT.S@.C", body) for body in pulls] + [("pub s@.a", "a message")] + [
        ("CONSUMER.MSG.NEXT.S@.C", body) for body in ('{"max_bytes":1,"expires":50000000}', '{"max_bytes":1,"expires":50000000,"batch":2}')])
    used_up = {"durable_name": "C", "ack_policy": "explicit", "max_deliver": 1, "ack_wait": 300000000}
    add("floor under used up deliveries", [create({"subjects": ["s@.>"]}), ("CONSUMER.CREATE.S@.C", consumer(used_up))] + [
        ("pub s@.a", "x")] * 3 + [("CONSUMER.MSG.NEXT.S@.C", "")] * 3 + [
        ("CONSUMER.MSG.NEXT.S@.C", '{"expires":600000000}'), ("CONSUMER.INFO.S@.C", "")])


def a_half_read_stream(stream_config, consumer_config, delivered, acked):
    """A stream with ten messages, and a consumer that was given some of them."""
    steps = [create({"subjects": ["s@.>"], **stream_config}),
             ("CONSUMER.CREATE.S@.C", consumer({"durable_name": "C", "ack_policy": "explicit", **consumer_config}))]
    steps += [(f"pub s@.{'ab'[place % 2]}", str(place)) for place in range(10)] + [("CONSUMER.MSG.NEXT.S@.C", "")] * delivered
    both = "filter_subject" not in consumer_config or "*" in consumer_config["filter_subject"]
    for delivery in acked:
        steps.append((f"pub $JS.ACK.S@.C.1.{delivery if both else 2 * delivery - 1}.{delivery}.0.0", "+ACK"))
    # nats-server counts beside what it answers: it gets a moment.
    return steps + [("STREAM.INFO.S@", ""), ("CONSUMER.INFO.S@.C", "")]


def removals():
    """What consumers show after messages were removed: (name, steps)."""
    then = [("STREAM.INFO.S@", ""), ("CONSUMER.INFO.S@.C", ""), ("pub s@.a", "new"), ("CONSUMER.MSG.NEXT.S@.C", ""),
            ("CONSUMER.INFO.S@.C", "")]
    for config in PURGED_CONSUMERS:
        for delivered, acked in ((0, ()), (4, ()), (4, (1,)), (4, (1, 2)), (4, (1, 2, 3, 4))):
            for purge in PURGES:
                text = json.dumps(purge)
                within = config.get("filter_subject", "") == "s@.a" or "filter" not in text or "s@.>" in text or "zz" in text
                if within or delivered == len(acked) or "9" in text:
                    yield f"purge {text} with consumer {json.dumps(config)} {delivered} {acked}", \
                        a_half_read_stream({}, config, delivered, acked) + [("STREAM.PURGE.S@", purge)] + then
            for sequences in (1,), (3,), (7,), (4, 3), range(1, 11):
                yield f"delete {list(sequences)} with consumer {json.dumps(config)} {delivered} {acked}", \
                    a_half_read_stream({}, config, delivered, acked) + [("STREAM.MSG.DELETE.S@", {"seq": s}) for s in sequences] + then
            for limit in {"max_msgs": 10}, {"max_msgs_per_subject": 5}:
                yield f"{json.dumps(limit)} with consumer {json.dumps(config)} {delivered} {acked}", \
                    a_half_read_stream(limit, config, delivered, acked) + [("pub s@.a", "x"), ("pub s@.a", "x"), ("pub s@.b", "x")] + then
        for delivered in 0, 1:
            yield f"rollups with consumer {json.dumps(config)} {delivered}", \
                a_half_read_stream({"allow_rollup_hdrs": True}, config, delivered, ()) + [
                    ("hpub s@.a", "NATS/1.0\r\nNats-Rollup: sub\r\n\r\nx"), ("CONSUMER.INFO.S@.C", ""),
                    ("hpub s@.a", "NATS/1.0\r\nNats-Rollup: all\r\n\r\nx")] + then


def all_cases():
    cases = []

    def add(name, steps):
        cases.append(Case(f"{name} {len(cases)}", steps))

    for config in STREAM_CONFIGS:
        text = json.dumps(config)[:60]
        add(f"create stream {text}", [create(config), create(config), ("STREAM.INFO.S@", ""), create({"description": "other"})])
    for config in PEDANTIC_STREAMS:
        add(f"create stream pedantically {json.dumps(config)[:60]}", [create({**config, "pedantic": True})])
    for source, destination in TRANSFORMS:
        add(f"transform {source} to {destination}",
            [create({"subjects": ["s@.>"], "subject_transform": {"src": source, "dest": destination}}), ("STREAM.DELETE.S@", ""),
             create({"subjects": ["t@.>"], "republish": {"src": source, "dest": destination}}, "T@")])
    for body in BAD_JSON.strip("|").split("|"):
        add(f"create stream, body {body}", [("STREAM.CREATE.S@", body)])
    for before, after in STREAM_UPDATES:
        add(f"update stream {json.dumps(before)[:40]} to {json.dumps(after)[:60]}",
            [create(before), ("STREAM.UPDATE.S@", stream(after)), ("STREAM.INFO.S@", ""), create(before)])
    for name in ["a/b", "x" * 255, "x" * 256, "a*b", "a>b"]:
        add(f"create stream called {name[:20]}", [(f"STREAM.CREATE.{name}", {"name": name}), (f"STREAM.DELETE.{name}", "")])
    add("streams that overlap", [create({"subjects": ["s@.>"]}), create({"subjects": ["s@.x"]}, "T@"), create({"subjects": ["t@"]}, "T@"),
                                 ("STREAM.UPDATE.T@", stream({"subjects": ["s@.*"]}, "T@")), ("STREAM.UPDATE.NO@", {"name": "NO@"}),
                                 ("STREAM.UPDATE.NO@", {"name": "NO@", "max_age": -1}), ("STREAM.UPDATE.S@", {"name": "T@"})])
    add("mirrors and sources of a stream that is there",
        [create({"allow_direct": True, "max_msg_size": 100, "subjects": ["s@.>"]}),
         create({"mirror": {"name": "S@"}}, "M@"), create({"mirror": {"name": "S@"}, "max_msg_size": 50}, "N@"),
         create({"sources": [{"name": "S@"}], "max_msg_size": 50}, "N@"), create({"sources": [{"name": "S@"}]}, "O@"),
         create({"mirror": {"name": "S@"}, "pedantic": True}, "P@"),
         ("STREAM.UPDATE.S@", stream({"subjects": ["s@.>"], "sources": [{"name": "O@"}]})),
         ("STREAM.UPDATE.S@", stream({"subjects": ["s@.>"], "sources": [{"name": "M@"}]})),
         create({"mirror": {"name": "S@", "external": {"api": "$JS.x.API", "deliver": "s@"}}}, "Q@")])
    for config in CONSUMER_CONFIGS:
        text = json.dumps(config)[:60]
        add(f"create consumer {text}", [
            create({"subjects": ["s@.>"]}), ("CONSUMER.CREATE.S@.C", consumer(config)), ("CONSUMER.CREATE.S@.C", consumer(config)),
            ("CONSUMER.CREATE.S@.C", consumer(config, action="create")), ("CONSUMER.INFO.S@.C", ""), ("CONSUMER.LIST.S@", "")])
        add(f"create durable consumer {text}", [
            create({"subjects": ["s@.>"]}), ("CONSUMER.DURABLE.CREATE.S@.C", consumer({"durable_name": "C", **config})),
            ("CONSUMER.CREATE.S@.C", consumer({"durable_name": "C", **config}, action="create")), ("CONSUMER.INFO.S@.C", "")])
    for config in PEDANTIC_CONSUMERS:
        add(f"create consumer pedantically {json.dumps(config)}",
            [create({"subjects": ["s@.>"]}), ("CONSUMER.CREATE.S@.C", consumer(config, pedantic=True))])
    for before, after in CONSUMER_UPDATES:
        steps = [create({"subjects": ["s@.>"]}), ("CONSUMER.CREATE.S@.C", consumer({"durable_name": "C", **before}))]
        for action in "create", "update", "":
            steps.append(("CONSUMER.CREATE.S@.C", consumer({"durable_name": "C", **after}, action=action)))
        add(f"update consumer {json.dumps(before)[:40]} to {json.dumps(after)[:60]}", steps + [("CONSUMER.INFO.S@.C", "")])
    add("update of no consumer", [create(), ("CONSUMER.CREATE.S@.C", consumer({"durable_name": "C"}, action="update"))])
    for configs in WORK_QUEUE:
        steps = [create({"subjects": ["s@.>"], "retention": "workqueue"})]
        for place, config in enumerate(configs):
            steps.append((f"CONSUMER.CREATE.S@.C{place}", consumer(config)))
        steps.append(("CONSUMER.CREATE.S@.C0", consumer({"ack_policy": "explicit", "filter_subject": "s@.>"})))
        add(f"work queue {json.dumps(configs)[:80]}", steps)
    add("replicas of consumers", [create({"subjects": ["s@.>"], "retention": "interest"}),
                                  ("CONSUMER.CREATE.S@.C", consumer({"num_replicas": 1})), ("CONSUMER.CREATE.S@.D", consumer({"num_replicas": 3}))])
    limits = {"subjects": ["s@.>"], "consumer_limits": {"max_ack_pending": 10, "inactive_threshold": 60000000000}}
    add("consumer limits", [create(limits), *[(f"CONSUMER.CREATE.S@.C{place}", consumer(config)) for place, config in enumerate([
        {}, {"ack_policy": "explicit"}, {"max_ack_pending": 11}, {"max_ack_pending": 9, "ack_policy": "explicit"},
        {"inactive_threshold": 70000000000}, {"inactive_threshold": 50000000000}, {"durable_name": "C6"}, {"max_ack_pending": -1}])],
        ("CONSUMER.CREATE.S@.P", consumer({}, pedantic=True)),
        ("STREAM.UPDATE.S@", stream({"subjects": ["s@.>"], "consumer_limits": {"max_ack_pending": 5}})),
        ("STREAM.UPDATE.S@", stream({"subjects": ["s@.>"], "consumer_limits": {"inactive_threshold": 55000000000}})),
        ("STREAM.UPDATE.S@", stream({"subjects": ["s@.>"]}))])
    add("as many consumers as there may be", [create({"subjects": ["s@.>"], "max_consumers": 1}), ("CONSUMER.CREATE.S@.A", consumer({})),
                                              ("CONSUMER.CREATE.S@.B", consumer({})), ("CONSUMER.CREATE.S@.A", consumer({}))])
    for subject, bodies in REQUESTS.items():
        for body in bodies:
            add(f"{subject} {body[:60]}", a_stream() + [(subject, body)] + (
                [("STREAM.INFO.S@", '{"deleted_details":true,"subjects_filter":">"}')] if "PURGE" in subject or "DELETE" in subject else []))
    add("message deleted twice", a_stream() + [("STREAM.MSG.DELETE.S@", '{"seq":2}'), ("STREAM.MSG.DELETE.S@", '{"seq":2}'),
                                               ("STREAM.MSG.GET.S@", '{"seq":2}')])
    for storage in ("file", "memory"):
        edges = [create({"subjects": ["s@.>"], "storage": storage})] + [("pub s@.a", "x")] * 4 + [("STREAM.PURGE.S@", '{"seq":3}')]
        add(f"deleting beyond the ends, {storage}", edges + [("STREAM.MSG.DELETE.S@", f'{{"seq":{seq}}}') for seq in (1, 2, 3, 3, 9)] + [
            ("STREAM.PURGE.S@", "")] + [("STREAM.MSG.DELETE.S@", f'{{"seq":{seq}}}') for seq in (2, 4, 5)])
    pages = [create({"subjects": ["s@.>"], "allow_direct": True})] + [(f"pub s@.{n}", "x") for n in range(6)]
    add("pages of last messages", pages + [("DIRECT.GET.S@", '{"multi_last":["s@.>"],' + body + "}") for body in (
        '"seq":5', '"seq":3,"batch":2', '"seq":2,"up_to_seq":4,"batch":2', '"seq":9,"batch":2', '"seq":6,"batch":1')])
    add("sources of schedules", [create({"subjects": ["s@.>"], "allow_msg_schedules": True})] + [
        ("hpub s@.s", head("Nats-Schedule: @at 2040-01-01T00:00:00Z", "Nats-Schedule-Target: s@.t", "Nats-Schedule-Source: " + source))
        for source in ("s@.u", "s@.s", "s@.t", "s@.*", "outside", "s@")])
    add("sealed and denied", [create({"subjects": ["s@.>"], "deny_delete": True, "deny_purge": True}), ("pub s@.a", "x"),
                              ("STREAM.PURGE.S@", ""), ("STREAM.MSG.DELETE.S@", '{"seq":1}'),
                              ("STREAM.UPDATE.S@", stream({"subjects": ["s@.>"], "sealed": True, "deny_delete": True, "deny_purge": True})),
                              ("pub s@.a", "x"), ("STREAM.PURGE.S@", ""), ("STREAM.MSG.DELETE.S@", '{"seq":1}')])
    add_headers(add)
    for name, steps in removals():
        add(name, steps)
    many = [create({"subjects": ["s@.>"]})] + [(f"CONSUMER.CREATE.S@.c{n:03}", consumer({})) for n in range(300)]
    add("pages of consumers", many + [("CONSUMER.LIST.S@", ""), ("CONSUMER.LIST.S@", '{"offset":256}'), ("CONSUMER.NAMES.S@", '{"offset":298}')])
    return cases
