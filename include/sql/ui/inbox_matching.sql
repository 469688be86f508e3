-- What: the referrals that the filters let through, with all that they are sorted by; a part of other statements.
-- It names no column that is not in the indexes partner_center_referrals_inbox or, where words are searched,
-- partner_center_referrals_search, so the wide rows are not read. What is not asked for is a constant to the planner
-- and falls away. Open is what the API still has.
-- By like and not by strpos, of which the planner knows no selectivity: it took a search without a hit for a frequent
-- one, and walked through all of the index alone.
-- Why twice is safe: it only reads.

select
    referral_id,
    updated_at,
    created_at,
    expires_at,
    deal_value,
    search_text
from partner_center_referrals
where
    case %(status)s::text
        when '' then true
        when 'open' then folded_status in ('new', 'active') and missing_since is null
        else folded_status = left(partner_center_folded(%(status)s), 20)
    end
    and (%(referral_type)s::text = '' or referral_type = %(referral_type)s)
    and (%(link_status)s::text = '' or link_status = %(link_status)s)
    and (%(country)s::text = '' or folded_country = left(partner_center_folded(%(country)s), 10))
    and (%(domain)s::text = '' or has_domain = (%(domain)s = 'yes'))
    and (
        not %(expiring)s::boolean
        or (
            folded_status in ('new', 'active')
            and missing_since is null
            and expires_at between now() and now() + interval '7 days'
        )
    )
    and (%(word_1)s::text = '' or search_text like partner_center_pattern(%(word_1)s))
    and (%(word_2)s::text = '' or search_text like partner_center_pattern(%(word_2)s))
    and (%(word_3)s::text = '' or search_text like partner_center_pattern(%(word_3)s))
    and (%(word_4)s::text = '' or search_text like partner_center_pattern(%(word_4)s))
    and (%(word_5)s::text = '' or search_text like partner_center_pattern(%(word_5)s))
