# The last slot of a schedule in (from, to], in seconds since the epoch, or null. Local time is that of TZ.
def matches: localtime as $t
  | ($slots.minutes | index($t[4])) and ($slots.hours | index($t[3]))
  and ($slots.months | index($t[1] + 1))
  and (($slots.days | index($t[2])) as $day | ($slots.weekdays | index($t[6])) as $weekday
    | if $slots.either then ($day or $weekday) else ($day and $weekday) end);
($to - $to % 60) as $last | ($from - $from % 60) as $first
| first(range($last; $first; -60) | select(matches)) // null
