"""A storm over the real system, drawn from a seed: `python -m tests.torture.storm --seed N`.

links    a proxy of ours on every link: latency, reset, half-open, black hole
machine  what this machine lets us do: another clock, a small disk
linked   the processes, each behind links of its own; `clocked` runs one by another clock
house    the system: its processes, servers and links, each of which can be hurt
plan     the faults that a seed draws
faults   how each kind of fault begins and ends; `weather` lets each do so in its time
journal  what each phone sent and was shown
wire     Africa's Talking between phones and us, with its sins
caller   somebody on the phone, who reads it by its `wording`
stories  what people do; `neighbours` are whom they need for it
crowd    the people, each a thread; the `lookout` sees what waits too long
judging  what is wrong, by what the outside saw
"""
