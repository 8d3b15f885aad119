"""Groups of words by meaning, for training rules about topics.

None is a topic of the planted bank (`autointerp.examples.bank`), which is kept for measuring; words that stand in both
are left out of training (`rules.topics`).
"""

TOPICS: dict[str, str] = {
    "clothing": (
        "shirt shirts dress dresses coat coats hat hats shoes boots trousers gloves scarf jacket suit skirt "
        "socks belt robe uniform cloak"
    ),
    "money and trade": (
        "money price prices pay paid dollar dollars coins cheap expensive bank debt market sold buy bought "
        "sell sale tax wealth cost trade profit"
    ),
    "illness and medicine": (
        "doctor doctors hospital ill sick disease fever pain medicine nurse wound cure patient patients "
        "surgery health injury infection"
    ),
    "religion": (
        "god gods prayer pray priest holy temple bishop faith soul heaven angel saint saints monk christian "
        "bible religious pope worship"
    ),
    "metals and stones": (
        "iron steel copper lead tin bronze brass stone stones rock rocks marble diamond jewel metal coal gem ruby"
    ),
    "water and the sea": (
        "sea ocean river rivers lake wave waves beach shore island coast stream pond harbour harbor tide bay pool"
    ),
    "land and places": (
        "mountain mountains hill hills valley desert field fields road roads village town city land country "
        "plain cliff cave bridge"
    ),
    "countries": (
        "england france germany china america canada russia japan india spain italy australia egypt ireland "
        "scotland mexico brazil"
    ),
    "peoples and languages": (
        "english french german chinese american british russian japanese indian spanish italian latin greek "
        "roman irish dutch"
    ),
    "first names": (
        "john mary tom lily tim sara anna ben jack max james william george robert charles henry david emma lucy sam"
    ),
    "professions": (
        "farmer baker driver artist engineer lawyer writer singer actor painter sailor cook hunter builder "
        "scientist editor author"
    ),
    "tools": ("hammer knife saw axe rope needle shovel bucket ladder brush scissors hook wheel drill nail nails spade"),
    "sounds": (
        "sound sounds noise loud quiet ring rang bang roar whistle echo silent silence bark squeak voice hum rattle"
    ),
    "light and darkness": (
        "light lights dark darkness bright shine shone shining shadow shadows lamp candle glow flame dim spark sparkle"
    ),
    "dirt and cleaning": (
        "clean cleaned dirty dirt wash washed mud muddy dust messy mess soap bath wipe tidy stain sweep"
    ),
    "shapes and lines": (
        "circle square triangle line lines round straight curve angle edge corner point sphere box flat polygon ellipse"
    ),
    "mathematics": (
        "matrix vector sum product equation function derivative integral number numbers polynomial algebra "
        "linear root square theorem"
    ),
    "statistics": (
        "mean median variance distribution sample samples probability random regression estimate correlation "
        "normal quantile deviation"
    ),
    "networks and the web": (
        "server client socket request response http url host port network protocol address connection web browser proxy"
    ),
    "plots and images": (
        "plot plots axis axes figure image images pixel color legend line marker label grid canvas chart"
    ),
    "dates in programs": "date datetime timestamp timezone calendar interval period frequency offset clock duration",
    "databases and tables": (
        "table row rows column columns index key keys query database record dataframe join merge group sort"
    ),
    "neural networks": (
        "layer layers tensor gradient weight weights loss batch model training token tokens attention optimizer dropout"
    ),
    "processes and threads": (
        "thread threads process processes lock queue async await task tasks event loop signal pool worker"
    ),
    "tests": "test tests testing assert expected check checks mock fixture verify compare",
    "strength and effort": (
        "strong weak power powerful force hard heavy work worked effort push pull lift tired energy"
    ),
    "speed": "fast quick quickly slow slowly speed rapid hurry sudden suddenly immediately",
    "kindness": (
        "kind nice good gentle friendly help helped helpful share shared thank thanked care loving generous polite"
    ),
    "evil and cruelty": "bad evil cruel mean wicked hate hated rude nasty harm hurt selfish steal stole",
    "friendship and love": (
        "friend friends love loved hug hugged kiss kissed marry married wedding together dear lover"
    ),
    "beauty": "beautiful pretty lovely ugly handsome fine elegant shiny fair charming",
    "old and new": "old new young ancient modern recent fresh early older newer age aged",
    "truth and lies": "lie lied lies truth honest cheat trick tricked secret fake real promise promised trust",
    "beginning and ending": (
        "begin began begins start started starts end ended ends finish finished stop stopped complete completed final"
    ),
    "giving and taking": (
        "give gave given take took taken receive received bring brought send sent offer offered lend"
    ),
    "making and building": (
        "make made build built create created form formed construct constructed produce produced design designed"
    ),
    "breaking": "break broke broken crack cracked tear torn smash destroy destroyed damage damaged ruin collapse",
    "places in order": "first second third fourth last next previous former latter initial",
    "directions": "north south east west left right up down forward backward northern southern eastern western",
    "nearness": "near close far distant beside nearby away around between across along",
    "frequency": "always often sometimes usually rarely seldom frequently again once twice",
    "quantity": "many few several much more most less some any enough lots plenty number amount",
    "doubt": "maybe perhaps probably possibly likely seem seemed might may apparently doubt uncertain",
    "reasons": "because since therefore thus hence so reason cause caused due result",
    "contrast": "but however although though yet despite whereas instead while except",
    "pronouns of a speaker": "i me my mine myself we us our ours ourselves",
    "question words": "who what when where why how whom whose which",
    "sleep and night": "sleep slept asleep bed dream dreams dreamed night wake woke tired nap midnight",
    "fire and heat": "fire fires hot heat warm burn burned burning smoke boil cold ice freezing cool temperature",
    "magic": "magic magical witch wizard fairy spell dragon ghost curse giant monster enchanted",
    "parties": (
        "party birthday gift gifts present presents balloon balloons celebrate celebrated guest guests "
        "festival christmas"
    ),
    "crime": "crime thief murder prison jail stole arrest arrested killer guilty trial robbery victim",
    "death": "death dead die died dies kill killed grave buried funeral killing corpse",
    "films and theatre": "film films movie actor actress director scene theatre stage drama comedy cinema role cast",
    "books and publishing": (
        "novel story stories chapter page pages author published publisher poem poet magazine volume edition title"
    ),
    "newspapers and critics": (
        "critics review reviews reviewed article journal newspaper praised magazine opinion comment"
    ),
    "science": ("science research experiment theory physics chemistry biology atom species cell cells energy evidence"),
    "geometry of computers": "memory buffer cache byte bytes bit bits address pointer size allocation",
    "permission": "allow allowed permit forbid forbidden must should ought may cannot required",
    "deprecation and versions": (
        "deprecated version versions release removed obsolete compatibility legacy upgrade changed"
    ),
    "settings": "option options setting settings config configuration default defaults flag enable disable",
    "geographic sport": "race match season champion championship league goal goals win won victory tournament cup",
    "storms at sea": "hurricane cyclone tropical winds landfall depression flooding damage rainfall",
    "roads and traffic": "road highway route street intersection lane traffic junction bridge freeway mile miles",
}
