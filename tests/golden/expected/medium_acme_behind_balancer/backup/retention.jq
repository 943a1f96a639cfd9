# Complete runs [{run}] -> the runs to remove. Counts days, weeks and months that have a backup, never time that has
# passed: neither a clock that jumped nor a list that is too short removes more than it should.
def stamp: .run[:16] | strptime("%Y%m%dT%H%M%SZ") | mktime;
def newest_of_each(period; $count):
  group_by(period) | map(max_by(.at)) | sort_by(.at) | reverse | .[:$count] | map(.run);
def month: .at | gmtime | strftime("%Y-%m");
def week: .at | gmtime | strftime("%G-%V");
def day: .at | gmtime | strftime("%Y-%m-%d");
map(select(.run | test("^[0-9]{8}T[0-9]{6}Z-")) | . + {at: stamp})
| (newest_of_each(day; [$keep.daily, 1] | max) + newest_of_each(week; $keep.weekly)
   + newest_of_each(month; $keep.monthly) + [$current]) as $kept
| map(.run | select(. as $run | $kept | index($run) | not))
