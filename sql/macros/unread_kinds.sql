-- Why a message of several elements is a dead letter, whatever is made of some of them: it has others, of kinds that no
-- file of its venue reads. It is what a control.sql gives as `refused`.
-- Arguments: venue, kinds (list: the kind of each element, none NULL), known (list: the kinds that are read).
-- Result: VARCHAR; NULL if all of them are read.
-- Example: SELECT unread_kinds('alpaca_stocks', ['t', 'zz', 't'], ['t', 'q']) AS refused;
CREATE OR REPLACE MACRO unread_kinds(venue, kinds, known) AS
    IF(list_has_all(known, kinds), NULL,
       'no file of sql/venues/' || venue || ' reads its elements: '
       || array_to_string(list_sort(list_distinct([kind FOR kind IN kinds IF NOT list_contains(known, kind)])), ', '));
